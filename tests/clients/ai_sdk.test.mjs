// The Vercel AI SDK against all three APIs, by its providers for OpenAI-compatible servers, for Anthropic and for Ollama.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, RetryError, generateObject, generateText, jsonSchema, stepCountIs, streamObject, streamText, tool } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { z } from "zod";
import { MODEL, WHOLE_FORM, countAnswer, countQuestion, hotAnswer, hotQuestion, startServer, until } from "./server.mjs";

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

let requests = 0; // that the model under test has sent
const counted = (...args) => {
  ++requests;
  return fetch(...args);
};

const apis = {
  "openai-compatible": (id) => createOpenAICompatible({ name: "hypura", baseURL: `${server.url}/v1`, supportsStructuredOutputs: true, includeUsage: true, fetch: counted })(id),
  anthropic: (id) => createAnthropic({ baseURL: `${server.url}/v1`, apiKey: "any", fetch: counted })(id),
  ollama: (id) => createOllama({ baseURL: `${server.url}/api`, fetch: counted })(id),
};
// It would warn on standard error that it does not know the model by name.
globalThis.AI_SDK_LOG_WARNINGS = false;

const animal = z.object({ animal: z.enum(["fox", "owl"]), age: z.int().min(0).max(9), tame: z.boolean() }).strict();
const city = z.object({ city: z.enum(["Paris", "Oslo"]) }).strict();
const weather = tool({ description: "Tells the weather of a city", inputSchema: city, execute: async ({ city }) => ({ city, sky: "blue" }) });
const weatherQuestion = "What is the weather in Paris?";
const long = "Once upon a time, there was a little rabbit. ".repeat(300);

function assertUsage(usage) {
  assert.ok(usage.inputTokens > 5 && usage.outputTokens > 1, JSON.stringify(usage));
}

for (const [api, modelOf] of Object.entries(apis)) {
  describe(api, () => {
    const greedy = () => ({ model: modelOf(MODEL), temperature: 0, maxOutputTokens: 24, maxRetries: 0 });

    test("a text is the same whole and in pieces", async () => {
      const whole = await generateText({ ...greedy(), prompt: hotQuestion });
      assert.equal(whole.text, hotAnswer);
      assert.equal(whole.finishReason, "stop");
      assertUsage(whole.usage);

      const stream = streamText({ ...greedy(), system: "You count.", prompt: countQuestion(5) });
      const pieces = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      assert.ok(pieces.length > 3, `${pieces.length} pieces`);
      assert.equal(pieces.join(""), countAnswer(5));
      assert.equal(await stream.finishReason, "stop");
      assertUsage(await stream.usage);
    });

    test("a limit and a stop string end a text", async () => {
      const limited = await generateText({ ...greedy(), maxOutputTokens: 5, prompt: "Tell me a story about a fox named Rusty." });
      if (api === "ollama") return; // its provider passes neither on
      assert.equal(limited.finishReason, "length");
      assert.equal(limited.usage.outputTokens, 5);
      const stopped = await generateText({ ...greedy(), prompt: countQuestion(10), stopSequences: [", 7"] });
      assert.equal(stopped.text, "1, 2, 3, 4, 5, 6");
      assert.equal(stopped.finishReason, "stop");
    });

    test("a conversation goes on", async () => {
      const first = await generateText({ ...greedy(), prompt: hotQuestion });
      const messages = [{ role: "user", content: hotQuestion }, ...first.response.messages, { role: "user", content: countQuestion(5) }];
      const second = await generateText({ ...greedy(), messages });
      assert.ok(second.usage.inputTokens > first.usage.inputTokens + first.usage.outputTokens);
      assert.match(second.text, /1.*2.*3/s);
    });

    test("objects obey their schema", async () => {
      const request = { ...greedy(), maxOutputTokens: WHOLE_FORM, prompt: "Describe a fox." };
      const { object, finishReason, usage } = await generateObject({ ...request, schema: animal });
      animal.parse(object);
      assert.equal(finishReason, "stop");
      assertUsage(usage);
      const { output } = await generateText({ ...request, output: Output.object({ schema: animal }) });
      animal.parse(output);
      const raw = jsonSchema({ type: "object", properties: { names: { type: "array", items: { type: "string", maxLength: 8 }, minItems: 2, maxItems: 2 } }, required: ["names"], additionalProperties: false });
      const { names } = (await generateObject({ ...request, schema: raw })).object;
      assert.ok(names.length === 2 && names.every((it) => it.length <= 8), JSON.stringify(names));
      const chosen = await generateObject({ ...request, output: "enum", enum: ["bright", "dim"] });
      assert.ok(["bright", "dim"].includes(chosen.object));

      const stream = streamObject({ ...request, schema: animal });
      let partial;
      for await (partial of stream.partialObjectStream);
      assert.deepEqual(partial, await stream.object);
      animal.parse(partial);
    });

    test("a tool's call and its result are read", async () => {
      const call = { type: "tool-call", toolCallId: "call_0a1b-2c3d", toolName: "weather", input: { city: "Oslo" } };
      const messages = [
        { role: "user", content: weatherQuestion },
        { role: "assistant", content: [{ type: "text", text: "I look." }, call] },
        { role: "tool", content: [{ type: "tool-result", toolCallId: call.toolCallId, toolName: call.toolName, output: { type: "json", value: { sky: "blue" } } }] },
      ];
      const request = { ...greedy(), tools: { weather: tool({ description: weather.description, inputSchema: city }) } };
      const before = await generateText({ ...request, messages: messages.slice(0, 1) });
      const behind = await generateText({ ...request, messages });
      assert.ok(behind.usage.inputTokens > before.usage.inputTokens + 10);
      assert.ok(behind.text.length > 0 || behind.toolCalls.length > 0);
      for (const it of behind.toolCalls) city.parse(it.input);
      const stream = streamText({ ...request, messages });
      await stream.consumeStream({ onError: (error) => assert.fail(`${error}`) });
      assert.ok((await stream.text).length > 0 || (await stream.toolCalls).length > 0);
    });

    test("a prompt that is too long is an error at once, or is cut as Ollama cuts", async () => {
      requests = 0;
      const error = await generateText({ ...greedy(), maxRetries: 2, maxOutputTokens: 4, prompt: long }).catch((it) => it);
      assert.equal(requests, 1);
      if (api === "ollama") {
        assert.ok(error.usage.inputTokens <= 1024, `${error.usage?.inputTokens} ${error}`);
        return;
      }
      const assertTooLong = (it) => {
        assert.ok(APICallError.isInstance(it), `${it}`);
        assert.equal(it.statusCode, 400);
        assert.equal(it.isRetryable, false);
        assert.match(it.message, /maximum context length is 1024 tokens|prompt is too long: \d+ tokens > 1024 maximum/);
      };
      assertTooLong(error);
      let told;
      await streamText({ ...greedy(), maxRetries: 2, prompt: long, onError: (it) => (told = it.error) }).consumeStream();
      assertTooLong(told);
      assert.equal(requests, 2);
    });

    test("an unknown model is the SDK's error, and is not asked for again", async () => {
      requests = 0;
      const error = await generateText({ ...greedy(), maxRetries: 2, model: modelOf("nothing"), prompt: "x" }).catch((it) => it);
      assert.equal(requests, 1);
      assert.ok(APICallError.isInstance(error) && !RetryError.isInstance(error), `${error}`);
      assert.equal(error.statusCode, 404);
      assert.match(error.message, /nothing|not found/i);
    });

    test("an aborted stream ends in the server", async () => {
      const { cancelled } = (await server.live()).stats;
      const controller = new AbortController();
      const stream = streamText({ ...greedy(), temperature: 1, maxOutputTokens: 900, prompt: "Tell me a story about a fox named Rusty.", abortSignal: controller.signal });
      let pieces = 0;
      for await (const part of stream.fullStream) {
        if (part.type === "text-delta" && ++pieces === 3) controller.abort();
      }
      assert.ok(pieces >= 3);
      await until(async () => {
        const { stats } = await server.live();
        return stats.running === 0 && stats.cancelled > cancelled;
      }, "the end of the aborted answer", 10);
    });
  });
}

// Ollama's API has no field that asks for a call.
for (const api of ["openai-compatible", "anthropic"]) {
  describe(`${api}, calls`, () => {
    const request = () => ({ model: apis[api](MODEL), temperature: 0, maxOutputTokens: WHOLE_FORM, maxRetries: 0, prompt: weatherQuestion, tools: { weather } });

    test("a forced call is made, run, and its result is sent back", async () => {
      for (const toolChoice of ["required", { type: "tool", toolName: "weather" }]) {
        const steps = [];
        const answer = await generateText({
          ...request(), toolChoice, stopWhen: stepCountIs(2), onStepFinish: (step) => steps.push(step),
          prepareStep: ({ stepNumber }) => (stepNumber === 1 ? { toolChoice: "none" } : {}),
        });
        assert.equal(steps.length, 2);
        assert.equal(steps[0].finishReason, "tool-calls");
        assert.equal(steps[0].toolCalls.length, 1);
        city.parse(steps[0].toolCalls[0].input);
        assert.deepEqual(steps[0].toolResults[0].output, { ...steps[0].toolCalls[0].input, sky: "blue" });
        assert.ok(steps[1].usage.inputTokens > steps[0].usage.inputTokens + 10);
        assert.equal(steps[1].toolCalls.length, 0);
        assert.ok(["stop", "length"].includes(answer.finishReason), answer.finishReason);
        assert.ok(answer.text.length > 0);
      }
    });

    test("a forced call comes in pieces too", async () => {
      const stream = streamText({ ...request(), toolChoice: "required" });
      let pieces = "";
      for await (const part of stream.fullStream) {
        if (part.type === "tool-input-delta") pieces += part.delta;
        assert.notEqual(part.type, "error", JSON.stringify(part.error));
      }
      const [call] = await stream.toolCalls;
      assert.equal(await stream.finishReason, "tool-calls");
      assert.deepEqual(JSON.parse(pieces), call.input);
      city.parse(call.input);
      assert.equal((await stream.toolResults)[0].output.sky, "blue");
    });
  });
}
