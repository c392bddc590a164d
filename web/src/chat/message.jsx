import { useEffect, useRef, useState } from "preact/hooks";
import { formatNumber, formatSeconds, plural } from "../format.js";
import { Again, Copy, Pencil } from "../icons.jsx";
import { GrowingText, sendsOn } from "./composer.jsx";
import { answering, edit, regenerate } from "./conversation.js";
import { markdownFragment } from "./markdown.js";
import { spoken } from "./spoken.js";

function Markdown({ text }) {
  const place = useRef(null);
  useEffect(() => place.current.replaceChildren(markdownFragment(text)), [text]);
  return <div ref={place} class="markdown" />;
}

function Thinking({ message }) {
  const under = message.state === "running" && message.content === "";
  return (
    <details class="thinking">
      <summary>{under ? "Thinking …" : "What it thought"}</summary>
      <Markdown text={message.thinking} />
    </details>
  );
}

// "178 tokens, 35.2 tok/s; first word after 0.4 s"
function figuresWords(figures) {
  const parts = [plural(figures.eval_count ?? 0, "token")];
  if (figures.eval_duration > 0) parts.push(`${formatNumber((figures.eval_count / figures.eval_duration) * 1e9)} tok/s`);
  if (figures.first !== null) parts.push(`first word after ${formatSeconds(figures.first)}`);
  if (figures.load_duration > 1e8) parts.push(`${formatSeconds(figures.load_duration / 1e9)} of that loading the model`);
  if (figures.done_reason === "length") parts.push("ended by the limit of its length");
  return parts.join(", ");
}

function CopyButton({ text }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      setDone(false); // refused, or a page that is not served securely: the text can still be selected
    }
  };
  if (!navigator.clipboard) return null;
  return <button type="button" class="quiet" onClick={copy}><Copy /> {done ? "Copied" : "Copy"}</button>;
}

function Answer({ message, last }) {
  const { state, content, thinking, error, figures } = message;
  const over = state !== "waiting" && state !== "running";
  const { text, called } = spoken(content, over);
  return (
    <article class="message assistant" aria-label="Answer" aria-busy={!over}>
      {thinking !== "" && <Thinking message={message} />}
      {text !== "" && <Markdown text={text} />}
      {called && <p class="note">The model called a tool, and none is offered here.</p>}
      {state === "waiting" && <p class="waiting"><span class="dots" aria-hidden="true"><i /><i /><i /></span><span class="unseen">Waiting for the answer</span></p>}
      {state === "stopped" && <p class="note">Stopped.</p>}
      {state === "failed" && <p class="callout bad" role="alert">{error}</p>}
      {over && (
        <div class="under">
          {text !== "" && <CopyButton text={text} />}
          {last && <button type="button" class="quiet" disabled={answering.value} onClick={regenerate}><Again /> {state === "done" ? "Regenerate" : "Try again"}</button>}
          {figures && <span class="note">{figuresWords(figures)}</span>}
        </div>
      )}
    </article>
  );
}

function Question({ message }) {
  const [draft, setDraft] = useState(null);
  const submit = (event) => {
    event.preventDefault();
    edit(message.id, draft);
  };
  if (draft !== null) {
    return (
      <form class="message user editing" aria-label="Edit your message" onSubmit={submit}>
        <GrowingText
          value={draft}
          focus
          aria-label="Your message"
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (sendsOn(event)) submit(event);
            if (event.key === "Escape") setDraft(null);
          }}
        />
        <div class="under">
          <button type="submit" disabled={answering.value || draft.trim() === ""}>Send</button>
          <button type="button" class="quiet" onClick={() => setDraft(null)}>Cancel</button>
          <span class="note">What came after it is forgotten.</span>
        </div>
      </form>
    );
  }
  return (
    <article class="message user" aria-label="You">
      <p>{message.content}</p>
      <button type="button" class="quiet edit" disabled={answering.value} onClick={() => setDraft(message.content)} aria-label="Edit this message" title="Edit"><Pencil /></button>
    </article>
  );
}

export function Message({ message, last }) {
  return message.role === "user" ? <Question message={message} /> : <Answer message={message} last={last} />;
}
