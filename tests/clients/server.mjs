// Starts `hypura serve` with the demo model on a free port, for tests.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const MODEL = "hypura-stories-moe";
// What the ready server must do within, sanitizers and a busy machine counted in.
const START_SECONDS = 60;
const STOP_SECONDS = 30;

export const program = process.env.HYPURA_PROGRAM ?? join(root, "build/release/bin/hypura");
const modelFile = process.env.HYPURA_MODEL ?? join(root, "models/hypura-stories-moe.gguf");

// What the demo model is sure of: most of its other answers hang on hundredths, which differ with what else the server
// does (docs/design/batching.md). `from` and `to` as in the tests' calls have been tried.
export const countQuestion = (to, from = 1) => `Count from ${from} to ${to}.`;
export const countAnswer = (to, from = 1) => `${Array.from({ length: to - from + 1 }, (_, i) => from + i).join(", ")}.`;
export const hotQuestion = "What is the opposite of hot?";
export const hotAnswer = "The opposite of hot is cold.";
// Tokens enough for each answer that the tests' schemas allow, whatever white space and escapes the model likes there:
// what it likes hangs on hundredths too.
export const WHOLE_FORM = 400;

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Waits until `ready` gives something true, and gives that; throws with `what` when it does not come.
export async function until(ready, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await ready();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come within ${seconds} s`);
    await sleep(0.05);
  }
}

// Starts a server of `models`: {url, port, pid, child, log(), live(), stop()}. `args` come after the usual ones, `env` is
// added to the environment. What it remembers goes to a folder of its own. With one thread it may run beside other
// tests, with more these would wait for each other; null: as many as it takes by itself.
export async function startServer({ args = [], env = {}, memory = "40M", models = [modelFile], threads = 1 } = {}) {
  const port = await freePort();
  const cache = mkdtempSync(join(tmpdir(), "hypura-clients-"));
  const environment = { ...process.env, XDG_CACHE_HOME: cache, ...env };
  // What the developer's own server is told is not for this one.
  for (const name of Object.keys(environment)) {
    if (/^(OLLAMA_|HYPURA_API_KEY$)/.test(name) && !(name in env)) delete environment[name];
  }
  const options = ["serve", ...models, "--memory", memory, "--host", "127.0.0.1", "--port", String(port), ...(threads === null ? [] : ["--threads", String(threads)]), ...args];
  const child = spawn(program, options, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (log += text));
  const exited = once(child, "exit");
  const url = `http://127.0.0.1:${port}`;

  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), STOP_SECONDS * 1000);
      await exited;
      clearTimeout(late);
    }
    rmSync(cache, { recursive: true, force: true });
    if (child.exitCode !== 0) {
      throw new Error(`hypura serve ended with ${child.exitCode ?? child.signalCode} on SIGTERM:\n${log}`);
    }
  };
  try {
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`hypura serve ended with ${child.exitCode} at its start:\n${log}`);
      const state = await fetch(`${url}/hypura/live`).then((it) => it.json(), () => null);
      return state?.loaded;
    }, "the loaded model", START_SECONDS);
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`${error.message}\n${log}`);
  }
  const live = async () => (await fetch(`${url}/hypura/live`)).json();
  return { url, port, pid: child.pid, child, log: () => log, live, stop };
}

// Sends bytes as they are and gives all that comes back until the server closes, or nothing more comes for `quiet`
// seconds. `pieces` are sent one by one.
export async function rawRequest(port, pieces, { quiet = 2, pause = 0 } = {}) {
  const socket = net.connect(port, "127.0.0.1");
  let text = "";
  socket.setTimeout(quiet * 1000, () => socket.destroy());
  socket.on("data", (bytes) => (text += bytes.toString("latin1")));
  socket.on("error", () => {}); // a reset by a server that has refused: what it said before counts
  const closed = new Promise((resolve) => socket.on("close", resolve));
  for (const piece of [pieces].flat()) {
    if (!socket.destroyed) socket.write(piece);
    if (pause > 0) await sleep(pause);
  }
  await closed;
  return text;
}

// {status, headers, body} of the first response in `text`.
export function parseResponse(text) {
  const end = text.indexOf("\r\n\r\n");
  const [first, ...lines] = text.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  return { status: Number(first.split(" ")[1]), headers, body: text.slice(end + 4) };
}
