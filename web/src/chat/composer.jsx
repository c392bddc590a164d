import { useEffect, useRef, useState } from "preact/hooks";
import { Send, Stop } from "../icons.jsx";
import { answering, model, send, stop } from "./conversation.js";

// Enter sends, Shift+Enter begins a new line; while an input method composes a character, Enter is its own.
export function sendsOn(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}

// A text field as high as its text, to a limit that the style sheet sets.
export function GrowingText({ value, focus, ...rest }) {
  const field = useRef(null);
  useEffect(() => {
    field.current.style.height = "auto";
    field.current.style.height = `${field.current.scrollHeight + 2}px`;
  }, [value]);
  useEffect(() => {
    if (focus) field.current.focus();
  }, []);
  return <textarea ref={field} value={value} rows={1} {...rest} />;
}

export function Composer({ children }) {
  const [text, setText] = useState("");
  const busy = answering.value;
  const submit = (event) => {
    event.preventDefault();
    if (busy || text.trim() === "" || model() === null) return;
    send(text);
    setText("");
  };
  return (
    <form class="composer" onSubmit={submit}>
      <GrowingText
        value={text}
        focus
        aria-label="Your message"
        placeholder="Write a message"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => sendsOn(event) && submit(event)}
      />
      <div class="bar">
        {children}
        <span class="hint" aria-hidden="true">{busy ? "Esc stops" : "Enter sends, Shift+Enter begins a new line"}</span>
        {busy ? (
          <button type="button" class="round stop" onClick={stop} aria-label="Stop the answer" title="Stop (Esc)"><Stop /></button>
        ) : (
          <button type="submit" class="round" disabled={text.trim() === "" || model() === null} aria-label="Send" title="Send (Enter)"><Send /></button>
        )}
      </div>
    </form>
  );
}
