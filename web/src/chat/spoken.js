// What a model says, without the calls of tools that it writes though this page offers none.

const CALLS = [
  ["<tool_call>", "</tool_call>"],
  ["<|tool_call|>", "<|/tool_call|>"],
  ["<|tool_call_start|>", "<|tool_call_end|>"],
  ["<tool_response>", "</tool_response>"],
  ["<function_call>", "</function_call>"],
  ["<function=", "</function>"],
  ["[TOOL_CALLS]", "\n\n"],
];

// How many characters at the end of `text` may be the beginning of a call.
function begun(text) {
  let most = 0;
  for (const [open] of CALLS) {
    for (let length = Math.min(open.length - 1, text.length); length > most; --length) {
      if (text.endsWith(open.slice(0, length))) most = length;
    }
  }
  return most;
}

// {text, called}: the rest of `content`, and whether there was a call. `over`: nothing more will come.
export function spoken(content, over = true) {
  let text = "";
  let called = false;
  let rest = content;
  for (;;) {
    const found = CALLS.map(([open, close]) => ({ at: rest.indexOf(open), open, close })).filter((it) => it.at >= 0);
    if (found.length === 0) break;
    const first = found.reduce((a, b) => (b.at < a.at ? b : a));
    called = true;
    text += rest.slice(0, first.at);
    const end = rest.indexOf(first.close, first.at + first.open.length);
    rest = end < 0 ? "" : rest.slice(end + first.close.length);
  }
  text += rest;
  if (!over) text = text.slice(0, text.length - begun(text));
  return { text: called ? text.trim() : text, called };
}
