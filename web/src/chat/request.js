// What is asked of POST /api/chat, and what failed in words.
import { records } from "./ndjson.js";

const NUMBERS = { temperature: "temperature", top_p: "top_p", top_k: "top_k", max_tokens: "num_predict", seed: "seed" };

// The body for `messages`, [{role, content}], under `settings`, where an empty field leaves the server's default.
export function chatBody(model, messages, settings, canThink) {
  const options = {};
  for (const [field, option] of Object.entries(NUMBERS)) {
    const text = String(settings[field] ?? "").trim();
    if (text !== "" && Number.isFinite(Number(text))) options[option] = Number(text);
  }
  const system = (settings.system ?? "").trim();
  const body = {
    model,
    messages: [...(system === "" ? [] : [{ role: "system", content: system }]), ...messages],
    stream: true,
    options,
  };
  if (settings.json) body.format = "json";
  if (canThink) body.think = settings.think !== false;
  return body;
}

// The sentence of a response that is not 200.
async function refusal(response) {
  const text = await response.text().catch(() => "");
  try {
    const { error } = JSON.parse(text);
    if (typeof error === "string" && error !== "") return error;
  } catch {
    // Not of ours: a proxy's page, perhaps.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim();
}

const SILENCE = "The server does not answer. Is hypura serve still running?";
const BROKEN = "The answer broke off: the connection was closed before it was complete.";

// Asks, and calls `onRecord` with each record; the last is the one that is done. Throws an Error whose message is a
// sentence, or an AbortError when `signal` was aborted.
export async function ask(body, signal, onRecord) {
  let response;
  try {
    response = await fetch("/api/chat", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(SILENCE);
  }
  if (!response.ok) throw new Error(await refusal(response));
  try {
    for await (const record of records(response.body)) {
      if (record.error) throw new Error(record.error);
      onRecord(record);
      if (record.done) return;
    }
  } catch (error) {
    throw error instanceof TypeError || error instanceof SyntaxError ? new Error(BROKEN) : error;
  }
  throw new Error(BROKEN);
}
