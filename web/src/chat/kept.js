// The conversation as this browser keeps it between visits.

const MOST = 400000; // characters: browsers give a page a few million for all that it keeps

const ENDS = ["done", "stopped", "failed"];
const size = (it) => it.content.length + (it.thinking?.length ?? 0) + 200;

// The latest of `messages` that are within `most` characters, beginning with a question. An answer that is under way is
// kept as one that was stopped.
export function kept(messages, most = MOST) {
  let room = most;
  let first = messages.length;
  while (first > 0 && size(messages[first - 1]) <= room) room -= size(messages[--first]);
  const latest = messages.slice(first);
  const question = latest.findIndex((it) => it.role === "user");
  return question < 0 ? [] : latest.slice(question).map((it) => (it.role === "user" || ENDS.includes(it.state) ? it : { ...it, state: "stopped" }));
}

const text = (value) => (typeof value === "string" ? value : "");

// What was kept, with ids from 1 on; whatever else stands there counts for nothing.
export function restored(value) {
  if (!Array.isArray(value)) return [];
  const messages = value.filter((it) => typeof it?.content === "string" && ["user", "assistant"].includes(it.role));
  return messages.map((it, index) => {
    const id = index + 1;
    if (it.role === "user") return { id, role: it.role, content: it.content };
    const figures = typeof it.figures === "object" && it.figures !== null ? it.figures : undefined;
    return { id, role: it.role, content: it.content, thinking: text(it.thinking), state: ENDS.includes(it.state) ? it.state : "stopped", error: text(it.error), figures };
  });
}
