import assert from "node:assert/strict";
import { test } from "node:test";
import { records } from "../src/chat/ndjson.js";

function streamOf(pieces, onCancel) {
  return new ReadableStream({
    pull(controller) {
      if (pieces.length === 0) controller.close();
      else controller.enqueue(pieces.shift());
    },
    cancel: onCancel,
  }, { highWaterMark: 0 });
}

async function all(stream) {
  const found = [];
  for await (const record of records(stream)) found.push(record);
  return found;
}

const bytes = (text) => new TextEncoder().encode(text);

test("records are found wherever the pieces are cut, within characters too", async () => {
  const whole = bytes('{"a":"żółw 🐢"}\n\n{"a":2}\n{"a":3}');
  for (let size = 1; size <= whole.length; ++size) {
    const pieces = [];
    for (let i = 0; i < whole.length; i += size) pieces.push(whole.slice(i, i + size));
    assert.deepEqual(await all(streamOf(pieces)), [{ a: "żółw 🐢" }, { a: 2 }, { a: 3 }]);
  }
});

test("an empty stream has none, and a broken line is an error", async () => {
  assert.deepEqual(await all(streamOf([])), []);
  await assert.rejects(all(streamOf([bytes('{"a":1}\n{"a":')])), SyntaxError);
});

test("leaving early cancels the stream", async () => {
  let cancelled = false;
  const stream = streamOf([bytes('{"a":1}\n'), bytes('{"a":2}\n')], () => (cancelled = true));
  for await (const record of records(stream)) {
    assert.equal(record.a, 1);
    break;
  }
  assert.ok(cancelled);
});
