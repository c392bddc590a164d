// The official OpenAI client against /v1/*.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { MODEL, WHOLE_FORM, countQuestion, hotAnswer, hotQuestion, startServer, until } from "./server.mjs";

let server;
let openai;
before(async () => {
  server = await startServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "any", maxRetries: 0 });
});
after(() => server?.stop());

const messages = [{ role: "user", content: hotQuestion }];
const greedy = { model: MODEL, temperature: 0, max_tokens: 24 };

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((it) => it.choices[0]?.delta?.content ?? "").join("");

test("lists its models", async () => {
  const list = await openai.models.list();
  assert.deepEqual(list.data.map((it) => [it.id, it.object, it.owned_by]), [[`${MODEL}:latest`, "model", "library"]]);
  assert.equal((await openai.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(openai.models.retrieve("nothing"), OpenAI.NotFoundError);
});

test("a chat completion is the same whole and in pieces", async () => {
  const whole = await openai.chat.completions.create({ ...greedy, messages });
  assert.match(whole.id, /^chatcmpl-/);
  assert.equal(whole.object, "chat.completion");
  assert.equal(whole.choices[0].message.content, hotAnswer);
  assert.ok(["stop", "length"].includes(whole.choices[0].finish_reason));
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = whole.usage;
  assert.ok(prompt > 5 && completion > 1 && total === prompt + completion);

  const chunks = await collect(await openai.chat.completions.create({ ...greedy, messages, stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.equal(textOf(chunks), whole.choices[0].message.content);
  assert.equal(new Set(chunks.map((it) => it.id)).size, 1);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.deepEqual(chunks.at(-1).usage.completion_tokens, completion);
  assert.equal(chunks.at(-2).choices[0].finish_reason, whole.choices[0].finish_reason);
  const plain = await collect(await openai.chat.completions.create({ ...greedy, messages, stream: true }));
  assert.ok(plain.every((it) => it.choices.length === 1 && !it.usage));
});

test("limits, stop strings and parts of content", async () => {
  const free = await openai.chat.completions.create({ ...greedy, messages: [{ role: "user", content: "Tell me a story about a fox named Rusty." }] });
  assert.equal(free.choices[0].finish_reason, "length");
  const short = await openai.chat.completions.create({ model: MODEL, temperature: 0, max_completion_tokens: 3, messages });
  assert.equal(short.usage.completion_tokens, 3);
  const parts = [{ role: "developer", content: "You are kind." }, { role: "user", content: [{ type: "text", text: "Tell me a story about a fox " }, { type: "text", text: "named Rusty." }] }];
  assert.ok((await openai.chat.completions.create({ ...greedy, messages: parts })).choices[0].message.content.length > 0);
  const cut = await openai.chat.completions.create({ ...greedy, stop: ", 7", messages: [{ role: "user", content: countQuestion(10) }] });
  assert.equal(cut.choices[0].message.content, "1, 2, 3, 4, 5, 6");
  assert.equal(cut.choices[0].finish_reason, "stop");
});

test("structured answers obey their schema", async () => {
  const schema = { type: "object", properties: { animal: { type: "string", enum: ["fox", "owl"] }, age: { type: "integer", minimum: 0, maximum: 9 } }, required: ["animal", "age"], additionalProperties: false };
  const answer = await openai.chat.completions.create({
    ...greedy, max_tokens: WHOLE_FORM, messages: [{ role: "user", content: "Describe a fox." }],
    response_format: { type: "json_schema", json_schema: { name: "animal", strict: true, schema } },
  });
  const value = JSON.parse(answer.choices[0].message.content);
  assert.ok(["fox", "owl"].includes(value.animal) && Number.isInteger(value.age));
  const any = await openai.chat.completions.create({ ...greedy, max_tokens: 200, messages, response_format: { type: "json_object" } });
  assert.match(any.choices[0].message.content.trimStart(), /^\{/);
});

const weather = {
  name: "weather", description: "Tells the weather of a city",
  parameters: { type: "object", properties: { city: { type: "string", enum: ["Paris", "Oslo"] }, days: { type: "integer", minimum: 1, maximum: 7 } }, required: ["city", "days"], additionalProperties: false },
};

function assertCall(name, text) {
  assert.equal(name, "weather");
  const call = JSON.parse(text);
  assert.ok(["Paris", "Oslo"].includes(call.city) && Number.isInteger(call.days), text);
}

test("a tool is called, and its result is taken", async () => {
  const request = { ...greedy, max_tokens: WHOLE_FORM, messages: [{ role: "user", content: "What is the weather in Paris?" }], tools: [{ type: "function", function: weather }], tool_choice: "required" };
  const { choices } = await openai.chat.completions.create(request);
  assert.equal(choices[0].finish_reason, "tool_calls");
  const [call] = choices[0].message.tool_calls;
  assert.equal(call.type, "function");
  assertCall(call.function.name, call.function.arguments);
  const chunks = await collect(await openai.chat.completions.create({ ...request, stream: true }));
  const streamed = chunks.flatMap((it) => it.choices[0]?.delta?.tool_calls ?? []);
  assertCall(streamed[0].function.name, streamed.map((it) => it.function.arguments).join(""));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
  const next = await openai.chat.completions.create({
    ...request, tool_choice: "none",
    messages: [...request.messages, choices[0].message, { role: "tool", tool_call_id: call.id, content: '{"sky":"blue"}' }],
  });
  assert.equal(next.choices[0].message.tool_calls, undefined);
  assert.ok(next.usage.prompt_tokens > 20);
});

test("responses, whole and in pieces", async () => {
  const request = { model: MODEL, temperature: 0, max_output_tokens: 24, input: hotQuestion };
  const whole = await openai.responses.create(request);
  assert.equal(whole.output_text, hotAnswer);
  assert.ok(whole.usage.output_tokens > 0);
  const events = await collect(await openai.responses.create({ ...request, stream: true }));
  assert.equal(events[0].type, "response.created");
  assert.ok(["response.completed", "response.incomplete"].includes(events.at(-1).type), events.at(-1).type);
  const text = events.filter((it) => it.type === "response.output_text.delta").map((it) => it.delta).join("");
  assert.equal(text, hotAnswer);
  const told = await openai.responses.create({ ...request, instructions: "You tell stories of foxes." });
  assert.ok(told.usage.input_tokens > whole.usage.input_tokens);
  const called = await openai.responses.create({ ...request, max_output_tokens: WHOLE_FORM, tools: [{ type: "function", strict: true, ...weather }], tool_choice: "required" });
  const call = called.output.find((it) => it.type === "function_call");
  assertCall(call.name, call.arguments);
});

test("log probabilities belong to the text", async () => {
  const answer = await openai.chat.completions.create({ ...greedy, messages, logprobs: true, top_logprobs: 3 });
  const { content } = answer.choices[0].logprobs;
  assert.ok(content.length > 0 && content.length <= answer.usage.completion_tokens);
  for (const token of content) {
    assert.ok(token.logprob <= 0 && token.top_logprobs.length === 3);
    assert.equal(token.top_logprobs[0].token, token.token); // greedy
  }
});

test("completions, whole and in pieces", async () => {
  const request = { ...greedy, prompt: hotQuestion };
  const whole = await openai.completions.create(request);
  assert.equal(whole.object, "text_completion");
  assert.equal(whole.choices[0].text, hotAnswer);
  const chunks = await collect(await openai.completions.create({ ...request, stream: true }));
  assert.equal(chunks.map((it) => it.choices[0]?.text ?? "").join(""), hotAnswer);
});

test("embeddings come as base64 and as numbers", async () => {
  const request = { model: MODEL, input: ["a red fox", "a blue whale"] };
  let answer;
  try {
    answer = await openai.embeddings.create(request); // asks for base64
  } catch (error) {
    assert.match(error.message, /does not support embeddings/);
    return;
  }
  const numbers = await openai.embeddings.create({ ...request, encoding_format: "float" });
  assert.equal(answer.data.length, 2);
  for (const [index, { embedding }] of answer.data.entries()) {
    assert.equal(embedding.length, numbers.data[index].embedding.length);
    assert.ok(embedding.every((it, i) => Math.abs(it - numbers.data[index].embedding[i]) < 1e-6));
  }
});

test("an aborted stream ends in the server", async () => {
  const before = (await server.live()).stats.cancelled;
  const controller = new AbortController();
  const stream = await openai.chat.completions.create({ model: MODEL, messages, temperature: 1.5, max_tokens: 900, stream: true, response_format: { type: "json_schema", json_schema: { name: "long", schema: { type: "array", items: { type: "integer" }, minItems: 900 } } } }, { signal: controller.signal });
  let chunks = 0;
  for await (const _ of stream) {
    if (++chunks === 3) controller.abort();
  }
  await until(async () => {
    const { stats } = await server.live();
    return stats.running === 0 && stats.cancelled > before;
  }, "the end of the aborted answer", 10);
});

test("errors are the client's errors", async () => {
  const create = (changes) => openai.chat.completions.create({ ...greedy, messages, ...changes });
  await assert.rejects(create({ model: "nothing" }), (error) => error instanceof OpenAI.NotFoundError && /nothing/.test(error.message));
  await assert.rejects(create({ messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(create({ messages: [{ role: "user", content: 7 }] }), OpenAI.BadRequestError);
  await assert.rejects(create({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://127.0.0.1/x.png" } }] }] }), OpenAI.BadRequestError);
  await assert.rejects(create({ reasoning_effort: "enormous" }), OpenAI.BadRequestError);
  const error = await create({ max_tokens: "many" }).catch((it) => it);
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.type, "invalid_request_error");
});

const long = "Once upon a time, there was a little rabbit. ";

test("a prompt that is too long is told as OpenAI tells it, however it is asked", async () => {
  for (const words of [300, 60000]) {
    const text = long.repeat(words);
    const requests = [
      () => openai.chat.completions.create({ ...greedy, messages: [{ role: "user", content: text }] }),
      () => openai.chat.completions.create({ ...greedy, stream: true, messages: [{ role: "user", content: text }] }),
      () => openai.completions.create({ ...greedy, prompt: ["short", text] }),
      () => openai.responses.create({ model: MODEL, input: text }),
    ];
    for (const request of requests) {
      const error = await request().catch((it) => it);
      assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
      assert.equal(error.code, "context_length_exceeded");
      assert.match(error.message, /This model's maximum context length is 1024 tokens\. However, your (messages|prompt|input) resulted in \d+ tokens\. Please reduce the length/);
    }
  }
  const cut = await openai.responses.create({ model: MODEL, temperature: 0, max_output_tokens: 8, truncation: "auto", input: long.repeat(300) });
  assert.ok(cut.usage.input_tokens <= 1024);
});

test("what does not fit any more ends the answer, and is not refused before", async () => {
  const answer = await openai.chat.completions.create({ model: MODEL, temperature: 0, max_tokens: 30000, messages: [{ role: "user", content: long.repeat(90) }], response_format: { type: "json_schema", json_schema: { name: "long", schema: { type: "array", items: { type: "integer" }, minItems: 900 } } } });
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.ok(answer.usage.total_tokens <= 1025, `${answer.usage.total_tokens}`);
});

test("several choices and prompts, whole and in pieces", async () => {
  const two = await openai.chat.completions.create({ ...greedy, messages, n: 2 });
  assert.deepEqual(two.choices.map((it) => [it.index, it.message.content]), [[0, hotAnswer], [1, hotAnswer]]);
  const chunks = await collect(await openai.chat.completions.create({ ...greedy, messages, n: 2, stream: true }));
  for (const index of [0, 1]) {
    const mine = chunks.flatMap((it) => it.choices).filter((it) => it.index === index);
    assert.equal(mine.map((it) => it.delta.content ?? "").join(""), hotAnswer);
    assert.equal(mine[0].delta.role, "assistant");
    assert.ok(mine.at(-1).finish_reason);
  }
  const prompts = await openai.completions.create({ ...greedy, prompt: [hotQuestion, countQuestion(5)], echo: true });
  assert.equal(prompts.choices[0].text, hotQuestion + hotAnswer);
  assert.match(prompts.choices[1].text, /^Count from 1 to 5\.1, 2, 3/);
  const ids = await openai.completions.create({ ...greedy, prompt: [[1, 2, 3], [4, 5]], max_tokens: 3 });
  assert.deepEqual(ids.choices.map((it) => it.index), [0, 1]);
  const drawn = await openai.completions.create({ model: MODEL, prompt: "Tell me a story.", n: 3, seed: 7, temperature: 1.5, max_tokens: 12 });
  assert.equal(new Set(drawn.choices.map((it) => it.text)).size, 3);
  await assert.rejects(openai.completions.create({ ...greedy, prompt: [[999999]] }), OpenAI.BadRequestError);
  await assert.rejects(openai.completions.create({ ...greedy, prompt: hotQuestion, best_of: 4 }), /best_of/);
  await assert.rejects(openai.completions.create({ ...greedy, prompt: hotQuestion, suffix: "x" }), /insert/);
});

test("biases move the choice", async () => {
  const free = await openai.completions.create({ ...greedy, prompt: hotQuestion, max_tokens: 1, logprobs: 1 });
  const request = { ...greedy, prompt: [[5]], max_tokens: 4 };
  const bound = await openai.completions.create({ ...request, logit_bias: { 300: 100 }, logprobs: 1 });
  assert.equal(new Set(bound.choices[0].logprobs.tokens).size, 1);
  assert.ok(free.choices[0].text.length > 0);
  await assert.rejects(openai.completions.create({ ...request, logit_bias: { 9999999: 1 } }), /logit_bias/);
  await assert.rejects(openai.chat.completions.create({ ...greedy, messages, logit_bias: { the: 1 } }), /logit_bias/);
});

test("what this server cannot do is refused by name", async () => {
  for (const fields of [{ modalities: ["text", "audio"] }, { audio: { voice: "alloy", format: "wav" } }, { functions: [{ name: "f" }] }, { function_call: "auto" }, { web_search_options: { search_context_size: "low" } }, { n: 0 }]) {
    await assert.rejects(openai.chat.completions.create({ ...greedy, messages, ...fields }), (error) => error instanceof OpenAI.BadRequestError && error.message.includes(Object.keys(fields)[0]));
  }
  const passed = { store: true, metadata: { a: "b" }, user: "u", service_tier: "auto", prediction: { type: "content", content: "x" }, prompt_cache_key: "k", verbosity: "low", parallel_tool_calls: false, modalities: ["text"] };
  assert.equal((await openai.chat.completions.create({ ...greedy, messages, ...passed })).choices[0].message.content, hotAnswer);
});

test("an image in the result of a tool is left out with a note", async () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
  const call = { id: "call_1", type: "function", function: { name: "look", arguments: "{}" } };
  const history = [...messages, { role: "assistant", content: null, tool_calls: [call] }];
  const answer = await openai.chat.completions.create({ ...greedy, messages: [...history, { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "see" }, image] }] });
  assert.ok(answer.usage.prompt_tokens > 20);
  const responses = await openai.responses.create({
    model: MODEL, max_output_tokens: 4, tools: [{ type: "web_search" }, { type: "local_shell" }],
    input: [{ role: "user", content: "x" }, { type: "custom_tool_call", call_id: "1", name: "apply_patch", input: "*** Begin" }, { type: "custom_tool_call_output", call_id: "1", output: "done" }, { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search", query: "q" } }],
  });
  assert.ok(responses.usage.input_tokens > 5);
});
