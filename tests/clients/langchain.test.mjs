// LangChain against all three APIs, by its packages for OpenAI, Anthropic and Ollama.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ChatAnthropic } from "@langchain/anthropic";
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOllama } from "@langchain/ollama";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { MODEL, WHOLE_FORM, countAnswer, countQuestion, hotAnswer, hotQuestion, startServer, until } from "./server.mjs";

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const apis = {
  openai: { limit: "maxTokens", create: (fields) => new ChatOpenAI({ apiKey: "any", configuration: { baseURL: `${server.url}/v1` }, ...fields }) },
  responses: { limit: "maxTokens", create: (fields) => new ChatOpenAI({ apiKey: "any", useResponsesApi: true, configuration: { baseURL: `${server.url}/v1` }, ...fields }) },
  anthropic: { limit: "maxTokens", create: (fields) => new ChatAnthropic({ apiKey: "any", anthropicApiUrl: server.url, ...fields }) },
  ollama: { limit: "numPredict", create: (fields) => new ChatOllama({ baseUrl: server.url, ...fields }) },
};

const animal = z.object({ animal: z.enum(["fox", "owl"]), age: z.int().min(0).max(9), tame: z.boolean() }).strict();
const city = z.object({ city: z.enum(["Paris", "Oslo"]) }).strict();
const weather = tool(async ({ city }) => `The sky of ${city} is blue.`, { name: "weather", description: "Tells the weather of a city", schema: city });
const weatherQuestion = new HumanMessage("What is the weather in Paris?");
const long = "Once upon a time, there was a little rabbit. ".repeat(300);

function assertUsage({ usage_metadata: usage }) {
  assert.ok(usage.input_tokens > 5 && usage.output_tokens > 1, JSON.stringify(usage));
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
}

// The whole message of a stream; its pieces are added to `pieces`.
async function joined(stream, pieces = []) {
  for await (const piece of stream) pieces.push(piece);
  return pieces.reduce((whole, piece) => whole.concat(piece));
}

for (const [api, { limit, create }] of Object.entries(apis)) {
  describe(api, () => {
    const model = (fields = {}, tokens = 24) => create({ model: MODEL, temperature: 0, maxRetries: 0, [limit]: tokens, ...fields });

    test("a text is the same whole and in pieces", async () => {
      const whole = await model().invoke(hotQuestion);
      assert.equal(whole.text, hotAnswer);
      assertUsage(whole);
      const pieces = [];
      const streamed = await joined(await model().stream([new SystemMessage("You count."), new HumanMessage(countQuestion(5))]), pieces);
      assert.ok(pieces.filter((it) => it.text !== "").length > 3, `${pieces.length} pieces`);
      assert.equal(streamed.text, countAnswer(5));
      assertUsage(streamed);
    });

    test("a limit ends a text, and a conversation goes on", async () => {
      const limited = await model({}, 5).invoke("Tell me a story about a fox named Rusty.");
      assert.equal(limited.usage_metadata.output_tokens, 5);
      const first = await model().invoke(hotQuestion);
      const second = await model().invoke([new HumanMessage(hotQuestion), first, new HumanMessage(countQuestion(5))]);
      assert.ok(second.usage_metadata.input_tokens > first.usage_metadata.total_tokens);
      assert.match(second.text, /1.*2.*3/s);
    });

    test("a structured answer obeys its schema", async () => {
      if (api === "anthropic") return; // its SDK leaves enum out of the schema that it sends
      const value = await model({}, WHOLE_FORM).withStructuredOutput(animal, { name: "animal", method: "jsonSchema" }).invoke("Describe a fox.");
      animal.parse(value);
    });

    test("a tool's call and its result are read", async () => {
      const call = { type: "tool_call", id: "call_0a1b-2c3d", name: "weather", args: { city: "Oslo" } };
      const bound = model().bindTools([weather]);
      const before = await bound.invoke([weatherQuestion]);
      const behind = await bound.invoke([weatherQuestion, new AIMessage({ content: "I look.", tool_calls: [call] }), await weather.invoke(call)]);
      assert.ok(behind.usage_metadata.input_tokens > before.usage_metadata.input_tokens + 10);
      assert.ok(behind.text.length > 0 || behind.tool_calls.length > 0);
      for (const it of behind.tool_calls) city.parse(it.args);
    });

    test("a prompt that is too long is an error at once, or is cut as Ollama cuts", async () => {
      const patient = model({ maxRetries: 2 }, 4);
      for (const ask of [() => patient.invoke(long), async () => joined(await patient.stream(long))]) {
        if (api === "ollama") {
          assert.ok((await ask()).usage_metadata.input_tokens <= 1024);
          continue;
        }
        const error = await ask().catch((it) => it);
        assert.equal(error.name, "ContextOverflowError", `${error}`);
        assert.match(error.message, /maximum context length is 1024 tokens|prompt is too long: \d+ tokens > 1024 maximum/);
      }
    });

    test("an unknown model is an error", async () => {
      const error = await model({ model: "nothing", maxRetries: 2 }).invoke("x").catch((it) => it);
      assert.equal(error.status ?? error.status_code, 404, `${error}`);
    });

    test("an aborted stream ends in the server", async () => {
      if (api === "ollama") return; // its client was not seen to close the connection
      const { cancelled } = (await server.live()).stats;
      const controller = new AbortController();
      let pieces = 0;
      await assert.rejects(async () => {
        const stream = await model({ temperature: 1 }, 900).stream("Tell me a story about a fox named Rusty.", { signal: controller.signal });
        for await (const _ of stream) {
          if (++pieces === 3) controller.abort();
        }
      });
      await until(async () => {
        const { stats } = await server.live();
        return stats.running === 0 && stats.cancelled > cancelled;
      }, "the end of the aborted answer", 10);
    });

    // Ollama's API has no field that asks for a call.
    test("a forced call is made, and its result is sent back", { skip: api === "ollama" }, async () => {
      for (const choice of ["any", "weather"]) {
        const bound = model({}, WHOLE_FORM).bindTools([weather], { tool_choice: choice });
        const called = await bound.invoke([weatherQuestion]);
        assert.equal(called.tool_calls.length, 1);
        city.parse(called.tool_calls[0].args);
        const result = await weather.invoke(called.tool_calls[0]);
        assert.ok(result instanceof ToolMessage);
        const next = await model().bindTools([weather], { tool_choice: "none" }).invoke([weatherQuestion, called, result]);
        assert.equal(next.tool_calls.length, 0);
        assert.ok(next.text.length > 0);
        assert.ok(next.usage_metadata.input_tokens > called.usage_metadata.input_tokens + 10);
        city.parse((await joined(await bound.stream([weatherQuestion]))).tool_calls[0].args);
      }
    });
  });
}
