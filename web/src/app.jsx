import { useEffect } from "preact/hooks";
import { Chat } from "./chat/chat.jsx";
import { answering, chosenModel, model, stop } from "./chat/conversation.js";
import { Moon, Sun } from "./icons.jsx";
import { Panel } from "./live/panel.jsx";
import { live, reachable } from "./live/poll.js";
import { isDark, toggleTheme } from "./theme.js";

// What the server is doing, in a word or two.
function Status() {
  const state = live.value;
  let [look, words] = ["idle", "ready"];
  if (!reachable.value) [look, words] = ["bad", "no connection"];
  else if (state === null) words = "connecting";
  else if (!state.loaded) [look, words] = answering.value ? ["busy", "loading the model"] : ["idle", "no model loaded"];
  else if (state.stats.running > 0) {
    const waiting = state.stats.queued > 0 ? `, ${state.stats.queued} waiting` : "";
    [look, words] = ["busy", `answering ${state.stats.running}${waiting}`];
  }
  return <span class={`status ${look}`}>{words}</span>;
}

function ModelName() {
  const models = live.value?.models ?? [];
  if (models.length < 2) return <span class="model">{model() ?? ""}</span>;
  return (
    <select class="model" aria-label="Model" value={model()} onChange={(event) => (chosenModel.value = event.currentTarget.value)}>
      {models.map((it) => <option key={it.name}>{it.name}</option>)}
    </select>
  );
}

export function App() {
  useEffect(() => {
    const stopOnEscape = (event) => {
      if (event.key === "Escape" && answering.value) stop();
    };
    addEventListener("keydown", stopOnEscape);
    return () => removeEventListener("keydown", stopOnEscape);
  }, []);
  return (
    <div class="app">
      <header>
        <h1>Hypura</h1>
        <ModelName />
        <Status />
        <button type="button" class="quiet theme" onClick={toggleTheme} aria-label={`Switch to ${isDark() ? "light" : "dark"} colours`} title={`Switch to ${isDark() ? "light" : "dark"} colours`}>
          {isDark() ? <Sun /> : <Moon />}
        </button>
      </header>
      <Chat />
      <Panel />
    </div>
  );
}
