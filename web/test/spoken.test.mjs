import assert from "node:assert/strict";
import { test } from "node:test";
import { spoken } from "../src/chat/spoken.js";

const call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>';

test("calls are left out, wherever they stand and however they are written", () => {
  assert.deepEqual(spoken("Once upon a time."), { text: "Once upon a time.", called: false });
  assert.deepEqual(spoken(call), { text: "", called: true });
  assert.deepEqual(spoken(`Let me see.\n${call}\n`), { text: "Let me see.", called: true });
  assert.equal(spoken(`a ${call} b ${call} c`).text, "a  b  c");
  assert.equal(spoken('a <tool_call>\n{"name": "x"').text, "a"); // ended by the limit of its length
  for (const other of ["<function=f>{}</function>", "[TOOL_CALLS][{}]", "<|tool_call_start|>[f()]<|tool_call_end|>", "<function_call>{}</function_call>"]) {
    assert.deepEqual(spoken(`a\n${other}`), { text: "a", called: true });
  }
});

test("what may be the beginning of a call waits until it is known", () => {
  assert.equal(spoken("a <tool_", false).text, "a ");
  assert.equal(spoken("a <tool_").text, "a <tool_");
  assert.equal(spoken("2 < 3", false).text, "2 < 3");
  assert.equal(spoken("an array [", false).text, "an array ");
});
