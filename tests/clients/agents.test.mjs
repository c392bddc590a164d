// What coding agents send, in two turns, against every chat template that comes with llama.cpp: nothing is refused, each
// answer has the form of its API, and the second turn finds the first one's prompt in the cache. What the agents send is
// recorded in tests/fixtures/agents; the models are tiny and say random things.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { openModel } from "./model_with_template.mjs";
import { program, root, startServer } from "./server.mjs";

const llamaModels = join(root, "deps/llama.cpp/models");
const read = (path) => readFileSync(join(root, path), "utf8");
const fixture = (path) => JSON.parse(read(`tests/fixtures/${path}`));

// Tokens at the end of a prompt, which ask for the answer: with the next turn something else stands there.
const ASKING_TOKENS = 16;
// More than what the second turns add takes with the wordiest template, and less than the tools once more.
const MOST_ADDED_TOKENS = 1500;

// Of a size that prompts become short by, and that is quick to sample from.
const VOCABULARY = join(llamaModels, "ggml-vocab-deepseek-coder.gguf");
const TEMPLATES = readdirSync(join(llamaModels, "templates")).filter((it) => it.endsWith(".jinja")).map((it) => it.slice(0, -".jinja".length));
// Those that show the model no tools: agents are told so.
const WITHOUT_TOOLS = new Set([
  "HuggingFaceTB-SmolLM3-3B", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
  "deepseek-ai-DeepSeek-V3.1", "google-gemma-2-2b-it", "llama-cpp-rwkv-world",
  "microsoft-Phi-3.5-mini-instruct",
]);
// The share of the first turn's prompt that the second finds, where the template is made so that it cannot be all.
const REWRITING = {
  "CohereForAI-c4ai-command-r-plus-tool_use": 0.85, // how to call is told after the last message
  "Mistral-Small-3.2-24B-Instruct-2506": 0.04, // the tools stand before the user's last message: the system's is found
  "mistralai-Mistral-Nemo-Instruct-2407": 0, // the same, and the system's is in that message
};
// Those that are tried with a SentencePiece vocabulary as well, as their models have it.
const WITH_SENTENCE_PIECE = ["Mistral-Small-3.2-24B-Instruct-2506", "google-gemma-4-31B-it", "microsoft-Phi-3.5-mini-instruct", "openbmb-MiniCPM5-1B"];

// The data of a stream's events; a named event's data has its name as type.
function eventsOf(text) {
  assert.ok(text.endsWith("\n\n"), "the stream is cut");
  const events = text.slice(0, -2).split("\n\n").filter((event) => !event.startsWith(":")).map((event) => {
    const [, name, data] = event.match(/^(?:event: (\S+)\n)?data: (.*)$/) ?? assert.fail(`no event: ${event}`);
    const json = data === "[DONE]" ? data : JSON.parse(data);
    assert.equal(name, json.type);
    return json;
  });
  return events.filter((event) => event.type !== "ping");
}

// The answers of each API, whole or as the events of a stream: they have its form. Gives the tokens of the prompt and
// those that were cached.
function readMessage(whole, stream) {
  let message = whole;
  if (stream) {
    const [start, ...blocks] = stream;
    const [delta, stop] = blocks.splice(-2);
    assert.deepEqual([start.type, delta.type, stop.type], ["message_start", "message_delta", "message_stop"]);
    let open = -1; // the block that is open, of `count`
    let count = 0;
    for (const { type, index } of blocks) {
      if (type === "content_block_start") {
        assert.equal(open, -1);
        open = count++;
      }
      assert.equal(index, open);
      if (type === "content_block_stop") open = -1;
      else assert.match(type, /^content_block_(start|delta)$/);
    }
    assert.equal(open, -1);
    message = { ...start.message, ...delta.delta, usage: { ...start.message.usage, ...delta.usage } };
  }
  assert.equal(message.type, "message");
  assert.match(message.stop_reason, /^(end_turn|max_tokens|tool_use)$/);
  // Tokens from the cache are not among the input's.
  const { input_tokens: input, cache_creation_input_tokens: created, cache_read_input_tokens: cached } = message.usage;
  return { prompt: input + created + cached, cached };
}

function readResponse(whole, stream) {
  let response = whole;
  if (stream) {
    assert.deepEqual(stream.map((it) => it.sequence_number), stream.map((_, i) => i));
    assert.deepEqual(stream.slice(0, 2).map((it) => it.type), ["response.created", "response.in_progress"]);
    response = stream.at(-1).response;
    assert.equal(stream.at(-1).type, `response.${response.status}`);
    assert.deepEqual(stream.filter((it) => it.type === "response.output_item.done").map((it) => it.item), response.output);
  }
  assert.match(response.status, /^(completed|incomplete)$/);
  assert.ok(response.output.length > 0);
  return { prompt: response.usage.input_tokens, cached: response.usage.input_tokens_details.cached_tokens };
}

function readCompletion(whole, stream) {
  let { choices, usage } = whole ?? {};
  if (stream) {
    assert.equal(stream.pop(), "[DONE]");
    for (const { id, object } of stream) assert.deepEqual([id, object], [stream[0].id, "chat.completion.chunk"]);
    assert.equal(stream[0].choices[0].delta.role, "assistant");
    assert.deepEqual(stream.at(-1).choices, []);
    choices = stream.flatMap((it) => it.choices).filter((it) => it.finish_reason !== null);
    ({ usage } = stream.at(-1));
  }
  assert.equal(choices.length, 1);
  assert.match(choices[0].finish_reason, /^(stop|length|tool_calls)$/);
  return { prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens };
}

// Claude Code marks the last block of a conversation, which is another with each turn.
function marked(messages) {
  const last = messages.at(-1);
  const blocks = typeof last.content === "string" ? [{ type: "text", text: last.content }] : [...last.content];
  blocks.push({ ...blocks.pop(), cache_control: { type: "ephemeral" } });
  return [...messages.slice(0, -1), { ...last, content: blocks }];
}

// Codex asks for reasoning where it knows that the model does it.
const asked = (thinks) => thinks ? { reasoning: { effort: "medium", summary: "auto" }, include: ["reasoning.encrypted_content"] } : { reasoning: null, include: [] };

const chat = { read: readCompletion, tool: (tool) => ({ type: "function", function: tool }), said: (messages) => ({ messages }) };
const agents = Object.entries({
  claude_code: { read: readMessage, tool: ({ parameters, ...tool }) => ({ ...tool, input_schema: parameters }), said: (messages) => ({ messages: marked(messages) }) },
  codex: { read: readResponse, tool: (tool) => ({ type: "function", strict: false, ...tool }), said: (input, thinks) => ({ input, ...asked(thinks) }) },
  opencode: chat,
  openclaw: chat,
}).map(([name, api]) => ({ name, ...api, ...fixture(`agents/${name}.json`), tools: fixture(`tools/${name}.json`).map(api.tool) }));

async function post({ server, agent }, path, body) {
  const text = JSON.stringify(body).replace("{changes}", () => Math.random().toString(16).slice(2, 7)); // Claude Code's header
  const response = await fetch(server.url + path, { method: "POST", headers: { "content-type": "application/json", ...agent.headers }, body: text });
  return { status: response.status, text: await response.text() };
}

async function ask(place, body, what) {
  const { agent } = place;
  const { status, text } = await post(place, agent.path, body);
  try {
    assert.equal(status, 200);
    return body.stream ? agent.read(null, eventsOf(text)) : agent.read(JSON.parse(text));
  } catch (error) {
    error.message = `${what}: ${error.message}\n${text}`;
    throw error;
  }
}

const turn = ({ agent, model, thinks }, messages) => ({ model, ...agent.body, tools: [...agent.tools, ...(agent.body.tools ?? [])], ...agent.said(messages, thinks) });

async function askBesides(place) {
  for (const side of place.agent.sides) await ask(place, { model: place.model, ...side }, "a request besides");
}

// Two turns, and what is asked between them. `place`: an agent, a model of a template, and the server that has it.
async function converse(place) {
  const { agent, template } = place;
  const request = turn(place, agent.first);
  const first = await ask(place, request, "the first turn");
  await askBesides(place);
  if (agent.name === "claude_code") {
    const counted = await post(place, agent.path.replace("?", "/count_tokens?"), { ...request, max_tokens: undefined, stream: undefined });
    assert.equal(counted.status, 200, counted.text);
    assert.equal(JSON.parse(counted.text).input_tokens, first.prompt);
  }
  const second = await ask(place, turn(place, [...agent.first, ...agent.second]), "the second turn");
  const added = second.prompt - first.prompt;
  assert.ok(added > 0 && added < MOST_ADDED_TOKENS, `the second turn added ${added} tokens to the first's ${first.prompt}`);
  const found = template in REWRITING ? first.prompt * REWRITING[template] : first.prompt - ASKING_TOKENS;
  assert.equal(typeof second.cached, "number", "the answer does not tell what was cached");
  assert.ok(second.cached >= found, `the second turn found ${second.cached} of the first's ${first.prompt} tokens in the cache`);
}

async function beRefused(place) {
  const { status, text } = await post(place, place.agent.path, turn(place, place.agent.first));
  assert.equal(status, 400, text);
  assert.match(JSON.parse(text).error.message, /does not support tools$/);
  await askBesides(place);
}

// Models with the templates: [{template, file}]. They are small, so that what the server does besides computing takes
// the time.
function writeModels(folder, vocabulary, templates, suffix) {
  const base = join(folder, "base");
  execFileSync(join(dirname(program), "hypura-make-model"), ["--arch", "dense", "--type", "Q8_0", "--layers", "1", "--embedding", "32", "--heads", "1", "--kv-heads", "1", "--ff", "32", "--context", "32768", "--vocab", vocabulary, base]);
  const model = openModel(base);
  return templates.map((template) => {
    const file = join(folder, `${template}${suffix}.gguf`);
    model.write(file, read(`deps/llama.cpp/models/templates/${template}.jinja`));
    return { template, file };
  });
}

// All agents with some of the models, on a server of its own.
async function tryModels(it, models) {
  // As many sequences as an agent has conversations.
  const server = await startServer({ models: models.map(({ file }) => file), memory: "300M", args: ["--context", "32768", "--parallel", "3"] });
  try {
    const { models: cards } = await (await fetch(`${server.url}/api/tags`)).json();
    for (const { template, file } of models) {
      const model = basename(file, ".gguf");
      const thinks = cards.find(({ name }) => name === `${model}:latest`).capabilities.includes("thinking");
      const play = WITHOUT_TOOLS.has(template) ? beRefused : converse;
      for (const agent of agents) await it.test(`${model}, ${agent.name}`, () => play({ server, agent, template, model, thinks }));
    }
  } finally {
    await server.stop();
  }
}

test("small requests besides push no conversation out of the cache", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hypura-agents-"));
  const [{ template, file }] = writeModels(folder, VOCABULARY, ["Qwen3-Coder"], "");
  const server = await startServer({ models: [file], memory: "300M", args: ["--context", "32768", "--parallel", "4"] });
  try {
    const place = { server, agent: agents.find(({ name }) => name === "opencode"), template, model: template, thinks: false };
    const first = await ask(place, turn(place, place.agent.first), "the first turn");
    for (const agent of agents) await askBesides({ ...place, agent });
    const second = await ask(place, turn(place, [...place.agent.first, ...place.agent.second]), "the second turn");
    assert.ok(second.cached >= first.prompt - ASKING_TOKENS, `the second turn found ${second.cached} of the first's ${first.prompt} tokens in the cache`);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

const SERVERS = Math.min(availableParallelism(), 4); // one answer at a time keeps one core busy
test("agents with all templates", { concurrency: SERVERS }, async (it) => {
  const folder = mkdtempSync(join(tmpdir(), "hypura-agents-"));
  try {
    const models = [
      ...writeModels(folder, VOCABULARY, TEMPLATES, ""),
      ...writeModels(folder, join(llamaModels, "ggml-vocab-llama-spm.gguf"), WITH_SENTENCE_PIECE, "-spm"),
    ];
    const shares = Array.from({ length: SERVERS }, (_, share) => models.filter((_, i) => i % SERVERS === share));
    await Promise.all(shares.map((share, i) => it.test(`share ${i + 1}`, (its) => tryModels(its, share))));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
