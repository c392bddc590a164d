// Load on a server: many streams at once, clients that go, that read slowly, that send half a request. Checks that
// nothing is lost or mixed up and that memory and descriptors come back; tells the times between tokens.
// Usage: node load.mjs [--seconds 60] [--clients 8] [--storm 500] [--slow 8] [--halves 50] [--json FILE]
// The server is the one that tests/clients/server.mjs starts.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { parseArgs } from "node:util";
import { records } from "../../web/src/chat/ndjson.js";
import { MODEL, countAnswer, countQuestion, hotQuestion, sleep, startServer, until } from "../clients/server.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    clients: { type: "string", default: "8" },
    storm: { type: "string", default: "500" },
    slow: { type: "string", default: "8" },
    halves: { type: "string", default: "50" },
    json: { type: "string" },
  },
});
const wanted = Object.fromEntries(["seconds", "clients", "storm", "slow", "halves"].map((name) => [name, Number(values[name])]));
for (const [name, value] of Object.entries(wanted)) {
  if (!Number.isInteger(value) || value < 0) {
    console.error(`--${name} takes a whole number, not ${values[name]}`);
    process.exit(2);
  }
}

// What clients ask, with what each must answer: to count, which the demo model is sure of, or to say a marker of its own,
// to which a schema holds it. Free answers would differ in hundredths with what rides beside them
// (docs/design/batching.md).
const COUNTS = [3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 17, 18, 19];
let markers = 0;

function counting(which) {
  const to = COUNTS[which % COUNTS.length];
  return { content: countQuestion(to), answer: countAnswer(to) };
}

function marked() {
  const marker = `lantern-${++markers}-meadow-${markers * 7919}-river-${Math.floor(Math.random() * 1e9)}`;
  return { content: hotQuestion, answer: JSON.stringify(marker), format: { type: "string", enum: [marker] } };
}

const endless = { content: "Tell me a long story.", format: { type: "array", items: { type: "integer" }, minItems: 900 } };

const failures = [];
const fail = (what) => failures.length < 20 && failures.push(what);

const body = ({ content, format }) => JSON.stringify({ model: MODEL, messages: [{ role: "user", content }], format, options: { temperature: 0 } });

// One streamed answer: {text, first, gaps}; times in ms.
async function stream(url, question, signal) {
  const started = performance.now();
  const response = await fetch(`${url}/api/chat`, { method: "POST", body: body(question), signal });
  if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
  const result = { text: "", first: null, gaps: [] };
  let last = null;
  let done = false;
  for await (const record of records(response.body)) {
    if (record.error) throw new Error(record.error);
    if (done) throw new Error("a record came after the last one");
    done = record.done;
    if (!record.message.content) continue;
    const now = performance.now();
    if (last === null) result.first = now - started;
    else result.gaps.push(now - last);
    last = now;
    result.text += record.message.content;
  }
  if (!done) throw new Error("a stream ended without its last record");
  return result;
}

// The answer must be the question's own.
async function check(url, question, who) {
  const result = await stream(url, question);
  if (result.text !== question.answer) fail(`${who} should have got ${question.answer} and got ${JSON.stringify(result.text)}`);
  return result;
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;

function spread(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return { count: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), most: sorted.at(-1) ?? null };
}

// {memory (bytes), descriptors} of the server, or null where there is no /proc.
function usage(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return { memory: Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return null;
  }
}

// Once everything is over, and fetch has closed the connections that it keeps for 4 s.
async function settledUsage(server) {
  await idle(server);
  await sleep(6);
  return usage(server.pid);
}

async function idle(server) {
  await until(async () => {
    const { stats } = await server.live();
    return stats.running === 0 && stats.queued === 0;
  }, "an idle server", 60);
}

// `clients` of them ask one question after the other, until the time is over.
async function concurrent(server) {
  const end = Date.now() + wanted.seconds * 1000;
  const first = [];
  const gaps = [];
  let answers = 0;
  await Promise.all(
    Array.from({ length: wanted.clients }, async (_, client) => {
      for (let turn = 0; Date.now() < end; ++turn) {
        try {
          const question = (client + turn) % 2 === 0 ? counting(client * 5 + turn) : marked();
          const result = await check(server.url, question, `client ${client}`);
          if (result.first !== null) first.push(result.first);
          gaps.push(...result.gaps);
          ++answers;
        } catch (error) {
          fail(`client ${client}: ${error.message}`);
        }
      }
    }),
  );
  return { answers, first_token_ms: spread(first), between_tokens_ms: spread(gaps) };
}

// Streams that are dropped after a random short time, several at once.
async function storm(server) {
  let started = 0;
  let aborted = 0;
  await Promise.all(
    Array.from({ length: Math.min(25, wanted.storm) }, async () => {
      while (started < wanted.storm) {
        ++started;
        const controller = new AbortController();
        setTimeout(() => controller.abort(), Math.random() * 60);
        await stream(server.url, endless, controller.signal).catch((error) => {
          if (error.name === "AbortError") ++aborted;
          else fail(`storm: ${error.message}`);
        });
      }
    }),
  );
  return { started, aborted };
}

// Clients that take a few bytes now and then: they get their answers whole, and hold up nobody.
async function slowReaders(server) {
  const read = async (question, who) => {
    const text = body(question);
    const socket = net.connect(server.port, "127.0.0.1");
    socket.write(`POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    let received = "";
    for await (const bytes of socket) {
      received += bytes;
      socket.pause();
      await sleep(0.03);
    }
    const words = [...received.matchAll(/"content":("(?:[^"\\]|\\.)*")/g)].map((it) => JSON.parse(it[1])).join("");
    if (words !== question.answer || !received.includes('"done":true')) fail(`${who} should have got ${question.answer} and got ${words}`);
  };
  await Promise.all(Array.from({ length: wanted.slow }, (_, i) => read(i % 2 === 0 ? counting(i) : marked(), `slow reader ${i}`)));
  return { readers: wanted.slow };
}

// Connections that send half a request and then nothing, and go after a while.
async function halves(server) {
  const sockets = Array.from({ length: wanted.halves }, (_, i) => {
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    const text = `POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{"model":"${MODEL}","prompt":"`;
    socket.write(text.slice(0, 1 + Math.floor((text.length * (i + 1)) / (wanted.halves + 1))));
    return socket;
  });
  await sleep(0.2);
  const result = await check(server.url, counting(0), "who asked beside half-sent requests");
  for (const socket of sockets) socket.destroy();
  return { connections: sockets.length, first_token_ms: result.first };
}

const server = await startServer({ threads: null });
const report = {};
try {
  // Once around everything before memory is first looked at: pools and thread stacks are made on first use.
  await Promise.all(COUNTS.map((_, i) => check(server.url, counting(i), "the first round")));
  await Promise.all(COUNTS.map(() => check(server.url, marked(), "the first round")));
  report.before = await settledUsage(server);

  report.concurrent = await concurrent(server);
  report.storm = await storm(server);
  await idle(server);
  report.slow = await slowReaders(server);
  report.halves = await halves(server);
  report.after = await settledUsage(server);
  report.stats = (await server.live()).stats;

  for (const i of COUNTS.keys()) await check(server.url, counting(i), "the last round");
  if (report.before && report.after) {
    if (report.after.descriptors > report.before.descriptors) fail(`descriptors: ${report.before.descriptors} before, ${report.after.descriptors} after`);
    if (report.after.memory > report.before.memory + (12 << 20)) fail(`memory: ${report.before.memory} before, ${report.after.memory} after`);
  }
} catch (error) {
  fail(error.stack);
} finally {
  await server.stop().catch((error) => fail(error.message));
}
report.failures = failures;
const text = JSON.stringify(report, null, 2);
console.log(text);
if (values.json) writeFileSync(values.json, `${text}\n`);
process.exit(failures.length > 0 ? 1 : 0);
