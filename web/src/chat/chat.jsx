import { useEffect, useRef, useState } from "preact/hooks";
import { Bin, Sliders } from "../icons.jsx";
import { live, reachable } from "../live/poll.js";
import { announcements } from "./announcer.js";
import { Composer } from "./composer.jsx";
import { answering, clear, messages, model, send } from "./conversation.js";
import { Message } from "./message.jsx";
import { Settings } from "./settings.jsx";

const EXAMPLES = ["Tell me a story about a fox named Rusty.", "What is the opposite of hot?", "Count from 1 to 10."];

function Welcome() {
  const state = live.value;
  return (
    <div class="welcome">
      <h2>{model() ? "What would you like to know?" : "Welcome"}</h2>
      {state && !state.loaded && <p>The model is not loaded yet: the first answer waits until it is.</p>}
      <p class="muted">Everything is computed on the machine that serves this page.</p>
      <div class="examples">
        {EXAMPLES.map((it) => (
          <button key={it} type="button" disabled={!reachable.value || !model()} onClick={() => send(it)}>{it}</button>
        ))}
      </div>
    </div>
  );
}

// Keeps the end in sight while an answer grows, unless the reader has scrolled away from it.
function useFollow() {
  const place = useRef(null);
  const follows = useRef(true);
  const onScroll = (event) => {
    const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
    follows.current = scrollHeight - scrollTop - clientHeight < 60;
  };
  const list = messages.value;
  const count = useRef(0);
  useEffect(() => {
    if (list.length > count.current) follows.current = true; // something was asked
    count.current = list.length;
    if (follows.current) place.current.scrollTop = place.current.scrollHeight;
  }, [list]);
  return { place, onScroll };
}

export function Chat() {
  const [showSettings, setShowSettings] = useState(false);
  const { place, onScroll } = useFollow();
  const list = messages.value;
  const lastQuestion = list.findLastIndex((it) => it.role === "user");
  return (
    <main class="chat" aria-label="Conversation">
      <div class="log" ref={place} onScroll={onScroll} tabIndex={0} role="region" aria-label="Messages">
        {list.length === 0 && <Welcome />}
        {list.map((it, index) => (
          <Message key={it.id} message={it} last={index > lastQuestion && index === list.length - 1} />
        ))}
      </div>
      <div class="unseen" aria-live="polite">
        {announcements.value.map((it, index) => <p key={index}>{it}</p>)}
      </div>
      {showSettings && <Settings />}
      <Composer>
        <button type="button" class="quiet" aria-expanded={showSettings} aria-controls="settings" onClick={() => setShowSettings(!showSettings)}>
          <Sliders /> Settings
        </button>
        {list.length > 0 && (
          <button type="button" class="quiet" onClick={clear} title={answering.value ? "Stop, and begin anew" : "Begin anew"}>
            <Bin /> Clear
          </button>
        )}
      </Composer>
    </main>
  );
}
