// The official Anthropic client against /v1/messages.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { MODEL, WHOLE_FORM, countQuestion, hotAnswer, hotQuestion, startServer, until } from "./server.mjs";

let server;
let anthropic;
before(async () => {
  server = await startServer();
  anthropic = new Anthropic({ baseURL: server.url, apiKey: "any", maxRetries: 0 });
});
after(() => server?.stop());

const messages = [{ role: "user", content: hotQuestion }];
const greedy = { model: MODEL, temperature: 0, max_tokens: 24 };
const story = [{ role: "user", content: "Tell me a story about a fox named Rusty." }];

test("a message is the same whole and in pieces", async () => {
  const whole = await anthropic.messages.create({ ...greedy, messages });
  assert.equal(whole.type, "message");
  assert.equal(whole.role, "assistant");
  assert.equal(whole.model, MODEL);
  assert.equal(whole.content[0].type, "text");
  assert.equal(whole.content[0].text, hotAnswer);
  assert.ok(whole.usage.input_tokens > 5 && whole.usage.output_tokens > 1);

  const stream = anthropic.messages.stream({ ...greedy, messages });
  const events = [];
  stream.on("streamEvent", (event) => events.push(event.type));
  const final = await stream.finalMessage();
  assert.deepEqual(final.content, whole.content);
  assert.equal(final.stop_reason, whole.stop_reason);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
  assert.equal(events[0], "message_start");
  assert.equal(events.at(-1), "message_stop");
  assert.ok(events.filter((it) => it === "content_block_delta").length > 1);
});

test("system prompts, blocks, limits and stop sequences", async () => {
  const blocks = await anthropic.messages.create({
    ...greedy, system: [{ type: "text", text: "You tell stories." }],
    messages: [{ role: "user", content: [{ type: "text", text: story[0].content }] }],
  });
  assert.equal(blocks.stop_reason, "max_tokens");
  assert.equal(blocks.usage.output_tokens, 24);
  const cut = await anthropic.messages.create({ ...greedy, messages: [{ role: "user", content: countQuestion(10) }], stop_sequences: [", 7"] });
  assert.equal(cut.content[0].text, "1, 2, 3, 4, 5, 6");
  assert.equal(cut.stop_reason, "stop_sequence");
  assert.equal(cut.stop_sequence, ", 7");
});

test("a conversation goes on", async () => {
  const first = await anthropic.messages.create({ ...greedy, messages });
  const second = await anthropic.messages.create({ ...greedy, messages: [...messages, { role: "assistant", content: first.content }, { role: "user", content: countQuestion(5) }] });
  assert.match(second.content[0].text, /1.*2.*3/s);
});

test("a tool is called, and its result is taken", async () => {
  const request = {
    ...greedy, max_tokens: WHOLE_FORM, messages: [{ role: "user", content: "What is the weather in Paris?" }], tool_choice: { type: "any" },
    tools: [{ name: "weather", description: "Tells the weather", input_schema: { type: "object", properties: { city: { type: "string", enum: ["Paris", "Oslo"] } }, required: ["city"], additionalProperties: false } }],
  };
  const whole = await anthropic.messages.create(request);
  assert.equal(whole.stop_reason, "tool_use");
  const call = whole.content.find((it) => it.type === "tool_use");
  assert.equal(call.name, "weather");
  assert.ok(["Paris", "Oslo"].includes(call.input.city));
  const streamed = await anthropic.messages.stream(request).finalMessage();
  assert.ok(["Paris", "Oslo"].includes(streamed.content.find((it) => it.type === "tool_use").input.city));
  const next = await anthropic.messages.create({
    ...request, tool_choice: { type: "none" },
    messages: [...request.messages, { role: "assistant", content: whole.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "blue sky" }] }],
  });
  assert.notEqual(next.stop_reason, "tool_use");
});

test("an aborted stream ends in the server", async () => {
  const before = (await server.live()).stats.cancelled;
  const stream = anthropic.messages.stream({ model: MODEL, temperature: 1, max_tokens: 900, messages: story });
  let deltas = 0;
  stream.on("text", () => ++deltas === 3 && stream.abort());
  await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
  await until(async () => {
    const { stats } = await server.live();
    return stats.running === 0 && stats.cancelled > before;
  }, "the end of the aborted answer", 10);
});

test("tokens are counted before they are spent", async () => {
  const { input_tokens: counted } = await anthropic.messages.countTokens({ model: MODEL, messages });
  const { usage } = await anthropic.messages.create({ ...greedy, messages });
  assert.equal(counted, usage.input_tokens + usage.cache_read_input_tokens);
  assert.ok(usage.cache_read_input_tokens > 0, "asked before");
});

test("errors are the client's errors", async () => {
  const create = (changes) => anthropic.messages.create({ ...greedy, messages, ...changes });
  await assert.rejects(create({ model: "nothing" }), Anthropic.NotFoundError);
  await assert.rejects(create({ max_tokens: 0 }), Anthropic.BadRequestError);
  await assert.rejects(create({ messages: [] }), Anthropic.BadRequestError);
  await assert.rejects(create({ messages: [{ role: "user", content: 7 }] }), Anthropic.BadRequestError);
  const error = await create({ max_tokens: "many" }).catch((it) => it);
  assert.ok(error instanceof Anthropic.BadRequestError);
  assert.equal(error.error.type, "error");
  assert.equal(error.error.error.type, "invalid_request_error");
});

test("a prompt that is too long is told as Anthropic tells it", async () => {
  for (const words of [300, 60000]) {
    const content = "Once upon a time, there was a little rabbit. ".repeat(words);
    for (const stream of [false, true]) {
      const error = await anthropic.messages.create({ ...greedy, stream, messages: [{ role: "user", content }] }).catch((it) => it);
      assert.ok(error instanceof Anthropic.BadRequestError, `${error}`);
      assert.equal(error.error.error.type, "invalid_request_error");
      assert.match(error.error.error.message, /^prompt is too long: \d+ tokens > 1024 maximum$/);
    }
  }
});

test("Claude Code's billing header is no part of the prompt", async () => {
  const count = async (system) => (await anthropic.messages.countTokens({ model: MODEL, messages, system })).input_tokens;
  const header = (cch) => `x-anthropic-billing-header: cc_version=2.1.42.abc; cc_entrypoint=cli; cch=${cch};`;
  const plain = await count([{ type: "text", text: "You are kind." }]);
  for (const cch of ["00000", "1d3c5"]) {
    assert.equal(await count([{ type: "text", text: header(cch) }, { type: "text", text: "You are kind.", cache_control: { type: "ephemeral" } }]), plain);
    assert.equal(await count(`${header(cch)}\nYou are kind.`), plain);
  }
  const ask = (cch) => anthropic.messages.create({ ...greedy, system: [{ type: "text", text: header(cch) }, { type: "text", text: "You are kind." }], messages });
  assert.deepEqual((await ask("11111")).content, (await ask("22222")).content);
});

test("what agents send again and again never makes a request fail", async () => {
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } };
  const history = [
    ...messages,
    { role: "assistant", content: [{ type: "thinking", thinking: "hm", signature: "s" }, { type: "redacted_thinking", data: "zz" }, { type: "text", text: "So:" }, { type: "server_tool_use", id: "s", name: "web_search", input: { query: "q" } }, { type: "web_search_tool_result", tool_use_id: "s", content: [{ type: "web_search_result", title: "t", url: "https://x.example", encrypted_content: "zz", page_age: null }] }, { type: "tool_use", id: "1", name: "look", input: {} }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "1", content: [{ type: "text", text: "see", cache_control: { type: "ephemeral" } }, image, { type: "tool_reference", tool_name: "later" }] }] },
  ];
  const tools = [{ name: "look", input_schema: { type: "object" } }, { name: "later", input_schema: { type: "object" }, defer_loading: true }, { type: "web_search_20250305", name: "web_search" }];
  const answer = await anthropic.messages.create({ ...greedy, tools, messages: history, metadata: { user_id: "u" }, service_tier: "auto" });
  assert.ok(answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 50);
  await assert.rejects(anthropic.messages.create({ ...greedy, messages: [{ role: "user", content: [image] }] }), /type \\?"image/);
  await assert.rejects(anthropic.messages.create({ ...greedy, messages, container: "c" }), /container/);
});
