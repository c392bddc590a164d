// The conversation and what can be done with it.
import { effect, signal } from "@preact/signals";
import { live } from "../live/poll.js";
import { recall, remember } from "../storage.js";
import { announce, announceEnd, announceStart } from "./announcer.js";
import { kept, restored } from "./kept.js";
import { ask, chatBody } from "./request.js";
import { spoken } from "./spoken.js";

export const DEFAULTS = { system: "", temperature: "", top_p: "", top_k: "", max_tokens: "", seed: "", json: false, think: true };

export const settings = signal({ ...DEFAULTS, ...recall("settings", {}) });
effect(() => remember("settings", settings.value));

// [{id, role, content}]; an assistant's message also has thinking, state ("waiting", "running", "done", "stopped",
// "failed"), error and figures (the done record).
export const messages = signal(restored(recall("conversation", [])));
export const chosenModel = signal(null);

let nextId = messages.peek().length + 1;
let controller = null; // of the answer under way

export const answering = signal(false);

// Kept when nothing is under way, and when the page goes: not with each piece of an answer.
const keep = () => remember("conversation", kept(messages.peek()));
effect(() => {
  if (messages.value && !answering.value) keep();
});
addEventListener("pagehide", keep);

// The model to ask: the one chosen, the one loaded, or the first there is.
export function model() {
  const state = live.value;
  const names = state?.models?.map((it) => it.name) ?? [];
  if (names.includes(chosenModel.value)) return chosenModel.value;
  return state?.loaded?.model ?? names[0] ?? null;
}

const canThink = () => live.value?.models?.find((it) => it.name === model())?.thinking === true;

function change(id, changes) {
  messages.value = messages.value.map((it) => (it.id === id ? { ...it, ...changes } : it));
}

// What the model is told of the conversation: no thinking, no calls of tools that it made up, and no answer of which
// there is nothing.
function history() {
  return messages.value
    .map(({ role, content }) => ({ role, content: role === "user" ? content : spoken(content).text }))
    .filter((it) => it.role === "user" || it.content !== "");
}

// Gathers pieces and shows them once a frame: a fast model makes more tokens than a screen shows.
function gatherer(id) {
  let content = "";
  let thinking = "";
  let timer = null;
  const show = () => {
    timer = null;
    change(id, { content, thinking, state: "running" });
    announce(spoken(content, false).text);
  };
  return {
    add(message) {
      content += message?.content ?? "";
      thinking += message?.thinking ?? "";
      timer ??= setTimeout(show, 33);
    },
    flush() {
      clearTimeout(timer);
      if (content !== "" || thinking !== "") show();
    },
  };
}

async function answer() {
  const asked = history();
  const id = nextId++;
  messages.value = [...messages.value, { id, role: "assistant", content: "", thinking: "", state: "waiting" }];
  controller = new AbortController();
  const mine = controller;
  answering.value = true;
  announceStart();
  const gathered = gatherer(id);
  const started = performance.now();
  let first = null;
  try {
    const body = chatBody(model(), asked, settings.value, canThink());
    if (body.model === null) throw new Error("The server offers no model.");
    await ask(body, mine.signal, (record) => {
      if (mine.signal.aborted) return;
      if (record.message?.content || record.message?.thinking) first ??= performance.now();
      gathered.add(record.message);
      if (record.done) {
        gathered.flush();
        change(id, { state: "done", figures: { ...record, first: first === null ? null : (first - started) / 1000 } });
      }
    });
    announceEnd("The answer is complete.");
  } catch (error) {
    gathered.flush();
    const stopped = error.name === "AbortError";
    change(id, stopped ? { state: "stopped" } : { state: "failed", error: error.message });
    announceEnd(stopped ? "Stopped." : ""); // an error is an alert of its own
  } finally {
    if (controller === mine) {
      controller = null;
      answering.value = false;
    }
  }
}

export function send(text) {
  if (answering.value || text.trim() === "") return;
  messages.value = [...messages.value, { id: nextId++, role: "user", content: text }];
  void answer();
}

export function stop() {
  controller?.abort();
}

// Asks the last question again.
export function regenerate() {
  if (answering.value) return;
  const last = messages.value.findLastIndex((it) => it.role === "user");
  if (last < 0) return;
  messages.value = messages.value.slice(0, last + 1);
  void answer();
}

// Puts another text in a question's place; what came after it is forgotten.
export function edit(id, text) {
  const index = messages.value.findIndex((it) => it.id === id);
  if (answering.value || index < 0 || text.trim() === "") return;
  messages.value = [...messages.value.slice(0, index), { id: nextId++, role: "user", content: text }];
  void answer();
}

export function clear() {
  stop();
  messages.value = [];
}
