import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { ask, chatBody } from "../src/chat/request.js";

const question = [{ role: "user", content: "hello" }];
const realFetch = globalThis.fetch;
afterEach(() => (globalThis.fetch = realFetch));

test("empty settings leave the server's defaults", () => {
  assert.deepEqual(chatBody("m", question, { system: " ", temperature: "", seed: "" }, false), {
    model: "m",
    messages: question,
    stream: true,
    options: {},
  });
});

test("settings become options, a system message, a format, thinking", () => {
  const settings = { system: "Be brief.", temperature: "0", top_p: "0.5", top_k: "3", max_tokens: "20", seed: "7", json: true, think: false };
  const body = chatBody("m", question, settings, true);
  assert.deepEqual(body.options, { temperature: 0, top_p: 0.5, top_k: 3, num_predict: 20, seed: 7 });
  assert.deepEqual(body.messages, [{ role: "system", content: "Be brief." }, ...question]);
  assert.equal(body.format, "json");
  assert.equal(body.think, false);
  assert.ok(!("think" in chatBody("m", question, settings, false)));
});

const answerWith = (text, status = 200) => (globalThis.fetch = async () => new Response(text, { status }));

test("records come one by one, up to the one that is done", async () => {
  answerWith('{"message":{"content":"a"},"done":false}\n{"done":true}\n{"message":{"content":"never"}}\n');
  const seen = [];
  await ask({}, undefined, (record) => seen.push(record));
  assert.deepEqual(seen, [{ message: { content: "a" }, done: false }, { done: true }]);
});

test("failures are sentences", async () => {
  const failure = async () => (await ask({}, undefined, () => {}).catch((error) => error)).message;
  answerWith('{"error":"model \'x\' not found"}', 404);
  assert.equal(await failure(), "model 'x' not found");
  answerWith("<html>gateway</html>", 502);
  assert.match(await failure(), /answered 502/);
  answerWith('{"message":{"content":"a"},"done":false}\n{"error":"the disk failed"}\n');
  assert.equal(await failure(), "the disk failed");
  answerWith('{"message":{"content":"a"},"done":false}\n');
  assert.match(await failure(), /broke off/);
  answerWith('{"message":{"content":"a"},"done":false}\n{"mess');
  assert.match(await failure(), /broke off/);
  globalThis.fetch = async () => {
    throw new TypeError("fetch failed");
  };
  assert.match(await failure(), /does not answer/);
});

test("an abort stays an abort", async () => {
  const controller = new AbortController();
  globalThis.fetch = async (_, { signal }) => {
    controller.abort();
    signal.throwIfAborted();
  };
  await assert.rejects(ask({}, controller.signal, () => {}), { name: "AbortError" });
});
