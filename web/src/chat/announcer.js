// What a screen reader is told of an answer: sentence by sentence, since a region that changes with every token would be
// read from its beginning each time.
import { signal } from "@preact/signals";

// Texts of a polite live region, each added once.
export const announcements = signal([]);
let told = 0; // characters of the answer
let rest = ""; // of it, not yet told

// The end of the last whole sentence or line of `text`, or 0.
export function sentenceEnd(text) {
  const match = /^[\s\S]*(?:[.!?…:;]["'”’)\]]*(?=\s)|\n)/.exec(text);
  return match ? match[0].length : 0;
}

export function announceStart() {
  told = 0;
  rest = "";
  announcements.value = [];
}

// `content` is all of the answer so far.
export function announce(content) {
  const end = Math.max(told, sentenceEnd(content));
  const text = content.slice(told, end).trim();
  told = end;
  rest = content.slice(end);
  if (text !== "") announcements.value = [...announcements.value, text];
}

// The rest of the answer, and how it ended.
export function announceEnd(words) {
  const text = `${rest} ${words}`.trim();
  rest = "";
  if (text !== "") announcements.value = [...announcements.value, text];
}
