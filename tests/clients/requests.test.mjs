// Requests that no official client sends: broken, hostile, unusual ones. After all of them the server must still serve.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, test } from "node:test";
import { MODEL, parseResponse, rawRequest, sleep, startServer, until } from "./server.mjs";

let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const call = (path, init) => fetch(server.url + path, init);
const post = (path, body, headers = { "content-type": "application/json" }) => call(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers });

// Sends one request over a socket of its own, header lines and body as given.
async function raw(lines, body = "", options = {}) {
  return parseResponse(await rawRequest(server.port, [`${lines.join("\r\n")}\r\n\r\n`, body], options));
}

const host = () => `Host: 127.0.0.1:${server.port}`;

async function assertServes() {
  const response = await post("/api/generate", { model: MODEL, prompt: "Once", raw: true, stream: false, options: { num_predict: 2, temperature: 0 } });
  assert.equal(response.status, 200);
  assert.equal((await response.json()).done, true);
}

// Each API says errors in its own words.
const ERRORS = {
  "/api/generate": (body) => body.error,
  "/api/chat": (body) => body.error,
  "/api/show": (body) => body.error,
  "/api/embed": (body) => body.error,
  "/v1/chat/completions": (body) => body.error.message,
  "/v1/completions": (body) => body.error.message,
  "/v1/embeddings": (body) => body.error.message,
  "/v1/messages": (body) => (body.type === "error" ? body.error.message : undefined),
};

const BAD_BODIES = {
  nothing: "",
  space: "  \n ",
  "cut short": '{"model":"',
  "not JSON": "model=hypura",
  "a number": "5",
  "an array": "[]",
  null: "null",
  "a lone string": '"x"',
  "bad UTF-8": Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  "two values": '{"model":"x"}{"model":"y"}',
  "a model that is a number": '{"model":5}',
  "deep nesting": `{"model":"${MODEL}","options":${"[".repeat(100000)}${"]".repeat(100000)}}`,
  "no model": "{}",
};

for (const [path, words] of Object.entries(ERRORS)) {
  for (const [what, body] of Object.entries(BAD_BODIES)) {
    test(`POST ${path} with ${what} is refused in words`, async () => {
      const response = await call(path, { method: "POST", body });
      assert.ok(response.status >= 400 && response.status < 500, `${response.status}`);
      assert.match(response.headers.get("content-type"), /^application\/json/);
      const sentence = words(await response.json());
      assert.ok(typeof sentence === "string" && sentence.length > 2, `${sentence}`);
    });
  }
}

test("JSON is taken whatever its Content-Type says, chunked and with Expect too", async () => {
  const body = JSON.stringify({ model: MODEL, prompt: "Once", raw: true, stream: false, options: { num_predict: 1 } });
  for (const type of ["application/x-www-form-urlencoded", "text/plain", undefined]) {
    const response = await post("/api/generate", body, type ? { "content-type": type } : {});
    assert.equal(response.status, 200);
  }
  const half = body.length >> 1;
  const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const chunked = await raw(["POST /api/generate HTTP/1.1", host(), "Transfer-Encoding: chunked", "Connection: close"], `${chunk(body.slice(0, half))}${chunk(body.slice(half))}0\r\n\r\n`, { quiet: 20 });
  assert.equal(chunked.status, 200);
  const text = await rawRequest(server.port, [`POST /api/generate HTTP/1.1\r\n${host()}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`, body], { quiet: 20, pause: 0.2 });
  assert.match(text, /^HTTP\/1\.1 100 /);
  assert.match(text, /\r\nHTTP\/1\.1 200 /);
});

test("unknown paths and wrong methods say so", async () => {
  for (const path of ["/nothing", "/api", "/api/nothing", "/v1/nothing", "/api/chat/", "//", "/api/../etc/passwd", "/%2e%2e/etc/passwd", "/hypura"]) {
    const response = await call(path);
    assert.equal(response.status, 404, path);
    await response.arrayBuffer();
  }
  for (const [method, path, allowed] of [["GET", "/api/chat", "POST"], ["PUT", "/api/chat", "POST"], ["POST", "/api/tags", "GET"], ["DELETE", "/", "GET"], ["GET", "/v1/chat/completions", "POST"]]) {
    const response = await call(path, { method });
    assert.equal(response.status, 405, `${method} ${path}`);
    assert.match(response.headers.get("allow"), new RegExp(allowed));
    assert.ok((await response.json()).error);
  }
});

test("HEAD has the headers of GET and no body, where there is one", async () => {
  for (const path of ["/", "/api/version", "/api/tags"]) {
    const get = await call(path);
    const size = (await get.arrayBuffer()).byteLength;
    const { status, headers, body } = await raw([`HEAD ${path} HTTP/1.1`, host(), "Connection: close"]);
    assert.equal(status, 200, path);
    assert.equal(headers["content-type"], get.headers.get("content-type"));
    assert.equal(Number(headers["content-length"]), size);
    assert.equal(body, "");
  }
  assert.equal((await call("/api/ps", { method: "HEAD" })).status, 405);
});

test("the page is for browsers", async () => {
  assert.equal(await (await call("/")).text(), "Ollama is running");
  const page = await call("/", { headers: { accept: "text/html,*/*;q=0.8" } });
  assert.match(page.headers.get("content-type"), /^text\/html/);
  assert.match(page.headers.get("content-security-policy"), /default-src 'none'/);
  assert.match(await page.text(), /^<!doctype html>/);
  const known = await call("/", { headers: { accept: "text/html", "if-none-match": page.headers.get("etag") } });
  assert.equal(known.status, 304);
});

test("metrics count what was done", async () => {
  const read = async () => {
    const response = await call("/metrics");
    assert.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    for (const line of text.trim().split("\n")) assert.match(line, /^(# (HELP|TYPE) \S+ .+|[a-zA-Z_:][\w:]*(\{.*\})? (-?[\d.e+-]+|NaN|\+Inf))$/);
    return text;
  };
  await read();
  await assertServes();
  assert.match(await read(), /\/api\/generate/);
});

test("other sites' pages are kept out", async () => {
  for (const origin of ["http://evil.example", "null", "http://localhost:3000.evil.example", "https://127.0.0.1.evil.example"]) {
    for (const [method, path] of [["GET", "/api/tags"], ["POST", "/api/generate"], ["GET", "/hypura/live"], ["GET", "/metrics"], ["OPTIONS", "/api/chat"]]) {
      const { status, headers, body } = await raw([`${method} ${path} HTTP/1.1`, host(), `Origin: ${origin}`, "Content-Length: 0", "Connection: close"]);
      assert.equal(status, 403, `${method} ${path} from ${origin}`);
      assert.equal(body, "");
      assert.equal(headers["access-control-allow-origin"], undefined);
    }
  }
});

test("pages of this machine are let in", async () => {
  for (const origin of ["http://localhost:3000", "http://127.0.0.1", "https://localhost", "app://obsidian.md", "vscode-webview://abc"]) {
    const { status, headers } = await raw(["GET /api/tags HTTP/1.1", host(), `Origin: ${origin}`, "Connection: close"]);
    assert.equal(status, 200, origin);
    assert.equal(headers["access-control-allow-origin"], origin);
    assert.match(headers.vary, /Origin/);
  }
  const own = await raw(["GET /api/tags HTTP/1.1", host(), `Origin: ${server.url}`, "Connection: close"]);
  assert.equal(own.status, 200);
  const preflight = await raw(["OPTIONS /v1/chat/completions HTTP/1.1", host(), "Origin: http://localhost:5173", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type,x-stainless-os", "Connection: close"]);
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers["access-control-allow-methods"], /POST/);
  assert.match(preflight.headers["access-control-allow-headers"].toLowerCase(), /authorization.*x-stainless-os/s);
});

test("names that may point here by trickery are refused as Host", async () => {
  for (const name of ["evil.example", "127.0.0.1.evil.example", "evil.example:11434", "[::1].evil.example"]) {
    for (const path of ["/", "/api/tags", "/v1/models", "/hypura/live"]) {
      const { status } = await raw([`GET ${path} HTTP/1.1`, `Host: ${name}`, "Connection: close"]);
      assert.equal(status, 403, `${name}${path}`);
    }
  }
  for (const name of ["localhost", `localhost:${server.port}`, "127.0.0.1", "[::1]:80", "machine.local", "a.internal", "LOCALHOST"]) {
    const { status } = await raw(["GET /api/version HTTP/1.1", `Host: ${name}`, "Connection: close"]);
    assert.equal(status, 200, name);
  }
});

test("what is too large is refused before it is read", async () => {
  const started = Date.now();
  const big = await raw(["POST /api/chat HTTP/1.1", host(), `Content-Length: ${65 << 20}`, "Connection: close"], '{"model":"', { quiet: 5 });
  assert.equal(big.status, 413);
  assert.ok(Date.now() - started < 4000);
  const headers = Array.from({ length: 3000 }, (_, i) => `X-Filler-${i}: ${"x".repeat(60)}`);
  const wide = await raw(["GET / HTTP/1.1", host(), ...headers], "", { quiet: 5 });
  assert.equal(wide.status, 431);
  const long = await raw([`GET /${"a".repeat(200000)} HTTP/1.1`, host()], "", { quiet: 5 });
  assert.ok([414, 431].includes(long.status), `${long.status}`);
});

test("what is no HTTP is refused or dropped", async () => {
  const refused = ["hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    `POST /api/chat HTTP/1.1\r\n${host()}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /api/chat HTTP/1.1\r\n${host()}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
    `POST /api/chat HTTP/1.1\r\n${host()}\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n`,
    `GET / HTTP/1.1\r\n${host()}\r\nBad Header\x01: x\r\n\r\n`];
  for (const bytes of refused) {
    const text = await rawRequest(server.port, bytes, { quiet: 3 });
    if (text !== "") assert.ok(parseResponse(text).status >= 400, JSON.stringify(text.slice(0, 60)));
  }
  await assertServes();
});

test("requests may follow each other on a connection, and come in one piece", async () => {
  const one = `GET /api/version HTTP/1.1\r\n${host()}\r\n\r\n`;
  const last = `GET /api/version HTTP/1.1\r\n${host()}\r\nConnection: close\r\n\r\n`;
  const text = await rawRequest(server.port, one + one + last, { quiet: 5 });
  assert.equal(text.match(/HTTP\/1\.1 200/g).length, 3);
});

test("half-sent requests and silent connections hold up nobody", async () => {
  const halves = [`POST /api/chat HTTP/1.1\r\n${host()}\r\nContent-Length: 1000\r\n\r\n{"model"`, "GET / HT", `POST /api/chat HTTP/1.1\r\n${host()}\r\n`, ""];
  const waiting = Array.from({ length: 80 }, (_, i) => rawRequest(server.port, halves[i % halves.length] || [], { quiet: 3 }));
  await sleep(0.3);
  const started = Date.now();
  await assertServes();
  assert.ok(Date.now() - started < 2500, "an answer waited for others' half requests");
  await Promise.all(waiting);
});

test("a client that goes while its request waits is forgotten", async () => {
  const long = { model: MODEL, prompt: "Once", raw: true, stream: false, options: { num_predict: 3000, temperature: 1.2 } };
  const controllers = Array.from({ length: 30 }, () => new AbortController());
  const all = controllers.map(({ signal }) => call("/api/generate", { method: "POST", body: JSON.stringify(long), signal }).catch((error) => error.name));
  await until(async () => (await server.live()).stats?.running > 0, "a running answer");
  for (const controller of controllers) controller.abort();
  assert.ok((await Promise.all(all)).every((it) => it === "AbortError"));
  await until(async () => {
    const { stats } = await server.live();
    return stats.running === 0 && stats.queued === 0;
  }, "an idle server", 15);
  await assertServes();
});

test("what is sent after an answer has begun does not matter", async () => {
  const body = JSON.stringify({ model: MODEL, prompt: "Once", raw: true, options: { num_predict: 20, temperature: 0 } });
  const text = await rawRequest(server.port, [`POST /api/generate HTTP/1.1\r\n${host()}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`, "garbage\r\n\r\n"], { quiet: 10, pause: 0.1 });
  assert.equal(parseResponse(text).status, 200);
  assert.match(text, /"done":true/);
});

test("a client that has sent all it has to send may wait for its answer", async () => {
  for (const [stream, tokens] of [[false, 1], [true, 1], [false, 400], [true, 400]]) {
    const body = JSON.stringify({ model: MODEL, prompt: "Once upon a time", raw: true, stream, options: { num_predict: tokens, temperature: 0 } });
    const socket = net.connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end(`POST /api/generate HTTP/1.1\r\n${host()}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    let text = "";
    for await (const bytes of socket) text += bytes;
    assert.match(text, /HTTP\/1\.1 200 /);
    assert.match(text, /"done":true/);
    assert.doesNotMatch(text, /closing/);
  }
});

test("large requests hold up nobody", async () => {
  const content = "Once upon a time, there was a little rabbit who lived in the forest. ".repeat(30000);
  const text = JSON.stringify({ model: MODEL, max_tokens: 5, messages: [{ role: "user", content }], prompt: content, stream: false, truncate: false });
  const paths = ["/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/completions"];
  let under_way = paths.length;
  const large = paths.map((path) => post(path, text).then(async (it) => {
    await it.text();
    --under_way;
    return it.status;
  }));
  const times = [];
  do {
    for (const path of ["/api/version", "/api/tags", "/v1/models", "/", "/metrics"]) {
      const started = performance.now();
      const response = await call(path);
      await response.text();
      assert.equal(response.status, 200);
      times.push(performance.now() - started);
    }
  } while (under_way > 0);
  times.sort((a, b) => a - b);
  // They take a few milliseconds each; they once waited for seconds.
  assert.ok(times[times.length >> 1] < 250 && times.at(-1) < 1500, `${times[times.length >> 1]} and at most ${times.at(-1)} ms`);
  assert.deepEqual(await Promise.all(large), [400, 400, 400, 400]);
});

test("a preflight allows what the SDKs send", async () => {
  const asked = "anthropic-dangerous-direct-browser-access,anthropic-version,anthropic-beta,x-api-key,openai-organization,openai-project,x-stainless-lang,x-stainless-helper,x-stainless-of-tomorrow";
  const response = await call("/v1/messages", { method: "OPTIONS", headers: { origin: "http://localhost:3000", "access-control-request-method": "POST", "access-control-request-headers": asked } });
  assert.equal(response.status, 204);
  const allowed = response.headers.get("access-control-allow-headers").toLowerCase().split(",");
  for (const name of asked.split(",")) assert.ok(allowed.includes(name), name);
});
