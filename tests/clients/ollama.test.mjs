// The official Ollama client against POST /api/*.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Ollama } from "ollama";
import { MODEL, WHOLE_FORM, countAnswer, countQuestion, hotAnswer, hotQuestion, startServer, until } from "./server.mjs";

let server;
let ollama;
before(async () => {
  server = await startServer();
  ollama = new Ollama({ host: server.url });
});
after(() => server?.stop());

const STORY = "Once upon a time, there was a little rabbit";
const greedy = { temperature: 0, num_predict: 24 };
const question = [{ role: "user", content: hotQuestion }];

async function collect(stream) {
  const records = [];
  for await (const record of stream) records.push(record);
  return records;
}

function assertFinal(record, reason) {
  assert.equal(record.done, true);
  assert.equal(record.done_reason, reason);
  for (const field of ["total_duration", "prompt_eval_count", "eval_count", "eval_duration"]) {
    assert.ok(Number.isInteger(record[field]) && record[field] > 0, `${field} is ${record[field]}`);
  }
  for (const field of ["load_duration", "prompt_eval_duration"]) assert.ok(Number.isInteger(record[field]), `${field} is ${record[field]}`);
}

test("says what it is and what it has", async () => {
  const { version } = await ollama.version();
  assert.match(version, /^\d+\.\d+\.\d+/);
  const { models } = await ollama.list();
  assert.equal(models.length, 1);
  assert.equal(models[0].name, `${MODEL}:latest`);
  assert.match(models[0].digest, /^[0-9a-f]{64}$/);
  const shown = await ollama.show({ model: MODEL });
  assert.equal(shown.model_info["general.architecture"], "qwen3moe");
  assert.ok(shown.capabilities.includes("completion"));
  assert.equal(shown.details.format, "gguf");
});

test("a completion is the same whole and in pieces", async () => {
  const request = { model: MODEL, prompt: countQuestion(15), options: { temperature: 0 } };
  const whole = await ollama.generate(request);
  assertFinal(whole, "stop");
  assert.equal(whole.response, countAnswer(15));
  const records = await collect(await ollama.generate({ ...request, stream: true }));
  assert.ok(records.length > 10, `${records.length} records`);
  assert.equal(records.map((it) => it.response).join(""), countAnswer(15));
  assertFinal(records.at(-1), "stop");
  assert.equal(records.at(-1).eval_count, whole.eval_count);
  assert.ok(records.slice(0, -1).every((it) => it.done === false));
});

test("num_predict limits an answer, raw prompts are continued as they stand", async () => {
  const answer = await ollama.generate({ model: MODEL, prompt: STORY, raw: true, options: greedy });
  assertFinal(answer, "length");
  assert.equal(answer.eval_count, 24);
  assert.ok(answer.response.length > 20);
  assert.equal(answer.context, undefined);
});

test("chat goes through the model's template", async () => {
  const request = { model: MODEL, messages: question, options: { temperature: 0, num_predict: 40 } };
  const whole = await ollama.chat(request);
  assert.equal(whole.message.role, "assistant");
  assert.equal(whole.message.content, hotAnswer);
  const records = await collect(await ollama.chat({ ...request, stream: true }));
  assert.equal(records.map((it) => it.message.content).join(""), whole.message.content);
  assertFinal(records.at(-1), whole.done_reason);
});

test("a conversation goes on, and a system message is taken", async () => {
  const first = await ollama.chat({ model: MODEL, messages: question, options: greedy });
  const messages = [{ role: "system", content: "You tell stories." }, ...question, first.message, { role: "user", content: countQuestion(5) }];
  const second = await ollama.chat({ model: MODEL, messages, options: greedy });
  assert.ok(second.prompt_eval_count > first.prompt_eval_count);
  assert.match(second.message.content, /1.*2.*3/s);
});

test("a seed repeats an answer, another gives another", async () => {
  const answer = async (seed) =>
    (await ollama.generate({ model: MODEL, prompt: STORY, raw: true, options: { seed, temperature: 1, num_predict: 30 } })).response;
  await answer(7); // from now on the prompt is in the cache, and all that follow compute the same
  const one = await answer(7);
  assert.equal(await answer(7), one);
  assert.notEqual(await answer(8), one);
});

test("stop strings end an answer and are never part of it", async () => {
  const request = { model: MODEL, messages: [{ role: "user", content: countQuestion(15) }], options: { temperature: 0, stop: ["never", ", 9"] } };
  const records = await collect(await ollama.chat({ ...request, stream: true }));
  assert.equal(records.map((it) => it.message.content).join(""), "1, 2, 3, 4, 5, 6, 7, 8");
  assert.equal(records.at(-1).done_reason, "stop");
  assert.equal((await ollama.chat(request)).message.content, "1, 2, 3, 4, 5, 6, 7, 8");
});

test("format json gives JSON, a schema gives what it says", async () => {
  const ask = { model: MODEL, messages: [{ role: "user", content: "Describe a fox." }], options: { temperature: 0, num_predict: WHOLE_FORM } };
  const any = await ollama.chat({ ...ask, format: "json" });
  if (any.done_reason === "stop") assert.equal(typeof JSON.parse(any.message.content), "object");
  else assert.match(any.message.content.trimStart(), /^\{/); // cut by the limit, but begun as an object
  const format = {
    type: "object",
    properties: { kind: { enum: ["fox", "owl"] }, legs: { type: "integer", minimum: 0, maximum: 8 }, tame: { type: "boolean" } },
    required: ["kind", "legs", "tame"],
    additionalProperties: false,
  };
  const { message, done_reason: reason } = await ollama.chat({ ...ask, format });
  assert.equal(reason, "stop");
  const value = JSON.parse(message.content);
  assert.deepEqual(Object.keys(value).sort(), ["kind", "legs", "tame"]);
  assert.ok(["fox", "owl"].includes(value.kind) && Number.isInteger(value.legs) && typeof value.tame === "boolean");
});

test("context carries a completion on", async () => {
  const first = await ollama.generate({ model: MODEL, prompt: STORY, options: greedy });
  assert.ok(first.context.length > 24);
  const next = await ollama.generate({ model: MODEL, prompt: "And then?", context: first.context, options: greedy });
  assert.ok(next.prompt_eval_count > first.context.length);
});

test("tools and thinking are refused, or work, as the model's capabilities say", async () => {
  const { capabilities } = await ollama.show({ model: MODEL });
  const tools = [{ type: "function", function: { name: "weather", description: "Tells the weather", parameters: { type: "object", required: ["city"], properties: { city: { type: "string" } } } } }];
  const call = ollama.chat({ model: MODEL, messages: question, tools, options: greedy });
  if (capabilities.includes("tools")) assert.equal((await call).message.role, "assistant");
  else await assert.rejects(call, { status_code: 400, message: /does not support tools/ });
  const thinking = ollama.chat({ model: MODEL, messages: question, think: true, options: greedy });
  if (capabilities.includes("thinking")) assert.equal((await thinking).message.role, "assistant");
  else await assert.rejects(thinking, { status_code: 400, message: /does not support thinking/ });
  assert.equal((await ollama.chat({ model: MODEL, messages: question, think: false, options: greedy })).done, true);
});

test("embeddings are normalised, and the same alone and among others", async () => {
  const { capabilities } = await ollama.show({ model: MODEL });
  const embed = ollama.embed({ model: MODEL, input: ["a red fox", "a blue whale", "a red fox"] });
  if (!capabilities.includes("embedding")) {
    await assert.rejects(embed, (error) => [400, 501].includes(error.status_code) && /does not support embeddings/.test(error.message));
    return;
  }
  const { embeddings } = await embed;
  assert.equal(embeddings.length, 3);
  for (const vector of embeddings) assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-3);
  assert.deepEqual(embeddings[0], embeddings[2]);
  assert.notDeepEqual(embeddings[0], embeddings[1]);
  const legacy = await ollama.embeddings({ model: MODEL, prompt: "a red fox" });
  assert.equal(legacy.embedding.length, embeddings[0].length);
});

test("aborting ends the answer in the server", async () => {
  const before = (await server.live()).stats;
  const stream = await ollama.generate({ model: MODEL, prompt: STORY, raw: true, stream: true, options: { temperature: 1, num_predict: 5000 } });
  let pieces = 0;
  await assert.rejects(async () => {
    for await (const _ of stream) {
      if (++pieces === 3) stream.abort();
    }
  }, { name: "AbortError" });
  const after = await until(async () => {
    const { stats } = await server.live();
    return stats.running === 0 && stats.cancelled > before.cancelled && stats;
  }, "the end of the aborted answer", 10);
  assert.ok(after.decoded_tokens - before.decoded_tokens < 2000);
});

test("many at once get each its own", async () => {
  const numbers = [3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 17];
  const count = async (to) => (await ollama.chat({ model: MODEL, messages: [{ role: "user", content: countQuestion(to) }], options: { temperature: 0 } })).message.content;
  const words = async (i) => {
    const marker = `lantern-${i}-meadow-${i * 7919}-river`;
    return (await ollama.chat({ model: MODEL, messages: question, format: { type: "string", enum: [marker] } })).message.content === JSON.stringify(marker);
  };
  const [counted, said] = await Promise.all([Promise.all(numbers.map(count)), Promise.all(numbers.map(words))]);
  assert.deepEqual(counted, numbers.map((to) => countAnswer(to)));
  assert.ok(said.every((it) => it));
});

test("errors are the client's errors", async () => {
  await assert.rejects(ollama.chat({ model: "nothing", messages: question }), { status_code: 404, message: /model 'nothing' not found/ });
  await assert.rejects(ollama.show({ model: "nothing" }), { status_code: 404 });
  await assert.rejects(ollama.chat({ model: MODEL, messages: [{ role: "user", content: 5 }] }), { status_code: 400, message: /content/ });
  await assert.rejects(ollama.generate({ model: MODEL, prompt: "x", format: "yaml" }), { status_code: 400, message: /format/ });
  await assert.rejects(ollama.generate({ model: MODEL, prompt: "x", suffix: "y" }), { status_code: 400, message: /insert/ });
  await assert.rejects(ollama.generate({ model: MODEL, prompt: "x", options: { num_predict: "many" } }), { status_code: 400, message: /num_predict/ });
  await assert.rejects(ollama.generate({ model: MODEL, prompt: "x", keep_alive: "abc" }), { status_code: 400, message: /duration/ });
  await assert.rejects(ollama.generate({ model: MODEL, prompt: "word ".repeat(3000), truncate: false }), {
    status_code: 400,
    message: /prompt is too long: the prompt \(\d+ tokens\) exceeds the available context size \(\d+ tokens\)/,
  });
  await assert.rejects(ollama.create({ model: "mine", from: MODEL }), { status_code: 501 });
  await assert.rejects(ollama.push({ model: MODEL }), { status_code: 501 });
  await assert.rejects(ollama.copy({ source: MODEL, destination: "other" }), { status_code: 501 });
  await assert.rejects(ollama.delete({ model: "nothing" }), { status_code: 404 });
  assert.equal((await ollama.pull({ model: MODEL })).status, "success");
});

test("models are made from others, copied and deleted, where the catalogue is offered", async () => {
  const home = mkdtempSync(join(tmpdir(), "hypura-models-"));
  const env = { HOME: home, XDG_DATA_HOME: home, HF_HUB_CACHE: join(home, "hub"), OLLAMA_MODELS: join(home, "ollama") };
  const other = await startServer({ args: ["--catalogue"], env });
  try {
    const client = new Ollama({ host: other.url });
    const names = async () => (await client.list()).models.map((it) => it.name);
    const parameters = { temperature: 0, num_predict: 3 };
    const made = await client.create({ model: "short", from: MODEL, system: "Be short.", parameters });
    assert.equal(made.status, "success");
    assert.equal((await client.show({ model: "short" })).system, "Be short.");
    const answer = await client.chat({ model: "short", messages: question });
    assert.equal(answer.eval_count, 3);
    await client.copy({ source: "short", destination: "gpt-4o" });
    assert.deepEqual(await names(), [`${MODEL}:latest`, "gpt-4o:latest", "short:latest"]);
    await client.delete({ model: "short" });
    await assert.rejects(client.delete({ model: MODEL }), { status_code: 403 });
    assert.deepEqual(await names(), [`${MODEL}:latest`, "gpt-4o:latest"]);
    assert.equal((await client.chat({ model: "gpt-4o", messages: question })).eval_count, 3);
  } finally {
    await other.stop();
    rmSync(home, { recursive: true, force: true });
  }
});

test("a prompt that is too long is cut when it may be", async () => {
  const answer = await ollama.generate({ model: MODEL, prompt: "The fox ran. ".repeat(2000), raw: true, options: { temperature: 0, num_predict: 4 } });
  assert.equal(answer.done, true);
  assert.ok(answer.prompt_eval_count <= 1024);
});

test("keep_alive unloads and loads", async () => {
  await ollama.generate({ model: MODEL, prompt: "", keep_alive: "10m" });
  const { models } = await ollama.ps();
  assert.equal(models.length, 1);
  assert.equal(models[0].name, `${MODEL}:latest`);
  const minutes = (new Date(models[0].expires_at) - Date.now()) / 60000;
  assert.ok(minutes > 8 && minutes < 11, `expires in ${minutes} minutes`);
  const unloaded = await ollama.generate({ model: MODEL, prompt: "", keep_alive: 0 });
  assert.equal(unloaded.done_reason, "unload");
  await until(async () => (await ollama.ps()).models.length === 0, "an empty list of loaded models", 10);
  assert.equal((await server.live()).loaded, null);
  const loaded = await ollama.chat({ model: MODEL, messages: [] });
  assert.equal(loaded.done_reason, "load");
  assert.equal((await server.live()).loaded.model, `${MODEL}:latest`);
});

test("a prompt that is too long is cut, and the log says so; or it is refused", async () => {
  const prompt = "Once upon a time, there was a little rabbit. ".repeat(2000);
  const cut = await ollama.generate({ model: MODEL, prompt, options: greedy });
  assert.ok(cut.prompt_eval_count <= 1024, `${cut.prompt_eval_count}`);
  await until(() => / cut=\d{5}->\d+/.test(server.log()), "the log's line");
  const refused = await fetch(`${server.url}/api/generate`, { method: "POST", body: JSON.stringify({ model: MODEL, prompt, truncate: false, shift: false }) });
  assert.equal(refused.status, 400);
  assert.match((await refused.json()).error, /prompt is too long: the prompt \(.*tokens\) exceeds the available context size \(1024 tokens\)/);
});
