// The page in a real browser. HYPURA_SCREENSHOTS=FOLDER also takes the pictures for the documentation.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { chromium } from "playwright-core";
import { MODEL, startServer, until } from "./server.mjs";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const pictures = process.env.HYPURA_SCREENSHOTS;
let server;
let browser;
let context;
let page;
let problems;

function browserProgram() {
  const paths = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const found = process.env.HYPURA_CHROMIUM ?? paths.find((path) => existsSync(path));
  assert.ok(found, `The page is tested in Chromium, and there is none of ${NAMES.join(", ")} in PATH: install the package chromium, or set HYPURA_CHROMIUM to the program.`);
  return found;
}

before(async () => {
  const executablePath = browserProgram();
  server = await startServer({ threads: null });
  // Chromium's own sandbox does not work for root, and the only site that it opens is ours.
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(options = {}) {
  context = await browser.newContext({ viewport: { width: 1360, height: 900 }, colorScheme: "light", ...options });
  page = await context.newPage();
  problems = [];
  page.on("pageerror", (error) => problems.push(`${error}`));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(server.url) && !url.startsWith("data:")) problems.push(`asks for ${url}`);
  });
  await page.goto(server.url);
  await page.getByRole("textbox", { name: "Your message" }).waitFor();
}

beforeEach(() => open());
afterEach(async () => {
  await context.close();
  assert.deepEqual(problems, []);
});

const message = () => page.getByRole("textbox", { name: "Your message" });
const answers = () => page.getByRole("article", { name: "Answer" });
const stopButton = () => page.getByRole("button", { name: "Stop the answer" });

async function setting(label, value) {
  if (!(await page.getByRole("region", { name: "Settings" }).isVisible())) await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel(label).fill(value);
}

async function ask(text) {
  await message().fill(text);
  await message().press("Enter");
}

async function finished() {
  await stopButton().waitFor({ state: "detached", timeout: 60000 });
}

const answerText = async () => (await answers().last().locator(".markdown").last().textContent()) ?? "";

test("an answer streams in, and its figures are under it", async () => {
  await setting("Temperature", "0");
  await setting("Max tokens", "120");
  await ask("Tell me a story about a fox named Rusty.");
  await until(async () => (await answers().count()) === 1 && (await answers().locator(".markdown").count()) > 0, "the first words");
  const early = (await answerText()).length;
  await finished();
  const text = await answerText();
  assert.ok(text.length > early && /rusty/i.test(text), text);
  assert.match(await answers().last().textContent(), /\d+ tokens, [\d.]+ tok\/s, first word after/);
  assert.equal(await message().inputValue(), "");
  const region = page.locator("[aria-live=polite]");
  assert.ok((await region.textContent()).endsWith("The answer is complete."));
});

test("Escape and the button stop an answer; it can be made again, edited, cleared", async () => {
  // The demo model's own answers may be over before they are stopped.
  const format = { type: "array", items: { type: "integer" }, minItems: 900 };
  await page.route("**/api/chat", (route) => route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), format }) }));
  await ask("Tell me a long story.");
  await until(async () => (await answers().locator(".markdown").count()) > 0, "the first words");
  await page.keyboard.press("Escape");
  await finished();
  assert.match(await answers().last().textContent(), /Stopped\./);
  await until(async () => (await server.live()).stats.running === 0, "an idle server", 10);

  await page.getByRole("button", { name: "Try again" }).click();
  await stopButton().waitFor();
  await stopButton().click();
  await finished();
  await page.unroute("**/api/chat");

  await page.getByRole("button", { name: "Edit this message" }).click();
  const field = page.getByRole("form", { name: "Edit your message" }).getByRole("textbox");
  await field.fill("What is the opposite of hot?");
  await field.press("Enter");
  await until(async () => (await page.getByText("What is the opposite of hot?").count()) > 0, "the edited question");
  await finished();
  assert.equal(await answers().count(), 1);
  assert.equal(await page.getByText("Tell me a long story.").count(), 0);
  await page.getByRole("button", { name: "Regenerate" }).click();
  await finished();
  assert.equal(await answers().count(), 1);
  await page.getByRole("button", { name: "Clear" }).click();
  assert.equal(await answers().count(), 0);
});

test("an answer may be asked for in JSON", async () => {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Answer in JSON").check();
  await page.getByLabel("System prompt").fill("You are kind.");
  const asked = page.waitForRequest("**/api/chat");
  await ask("Describe a fox.");
  const body = (await asked).postDataJSON();
  assert.equal(body.format, "json");
  assert.deepEqual(body.messages.map((it) => it.role), ["system", "user"]);
  await finished();
  assert.match(await answerText(), /^\{/);
});

test("Shift+Enter begins a line; what the reader writes is text, never markup", async () => {
  await setting("Max tokens", "4");
  await message().fill("first");
  await message().press("Shift+Enter");
  await message().pressSequentially("<img src=x onerror=alert(1)> *second*");
  await message().press("Enter");
  await finished();
  assert.equal(await page.getByRole("article", { name: "You" }).locator("p").textContent(), "first\n<img src=x onerror=alert(1)> *second*");
  assert.equal(await page.locator(".message img").count(), 0);
});

test("what a model says can do nothing to the page", async () => {
  const evil = ["**bold** <script>document.title='x'</script><img src=x onerror=\"document.title='x'\">", "[click](javascript:alert(1)) [out](https://example.org) ![picture](https://example.org/x.png) <a onclick=\"alert(1)\">x</a>",
    "<form action='https://example.org'><input name=q></form><iframe src='https://example.org'></iframe><style>body{display:none}</style>", "```js\nlet x = '<b>';\n```"].join("\n\n");
  await page.route("**/api/chat", (route) =>
    route.fulfill({ contentType: "application/x-ndjson", body: `${JSON.stringify({ message: { content: evil } })}\n${JSON.stringify({ done: true, done_reason: "stop", eval_count: 1, eval_duration: 1e7 })}\n` }));
  await ask("Be evil.");
  await finished();
  const answer = answers().last().locator(".markdown");
  assert.equal(await answer.locator("strong").textContent(), "bold");
  assert.equal(await answer.locator("script, img, form, iframe, style, [onclick], [onerror], [style]").count(), 0);
  assert.equal(await answer.getByText("click", { exact: true }).getAttribute("href"), null);
  assert.equal(await answer.getByRole("link", { name: "out" }).getAttribute("rel"), "noopener noreferrer");
  assert.match(await answer.textContent(), /<script>document\.title='x'<\/script>/); // to be read
  assert.equal(await answer.locator("pre code").textContent(), "let x = '<b>';\n");
  assert.equal(await page.title(), "Hypura");
});

test("failures are told in words", async () => {
  const refuse = (status, body) => page.route("**/api/chat", (route) => route.fulfill({ status, body, contentType: "application/json" }));
  await refuse(503, JSON.stringify({ error: "server busy, please try again.  maximum pending requests exceeded" }));
  await ask("One");
  await finished();
  assert.match(await page.getByRole("alert").last().textContent(), /server busy/);
  await page.unroute("**/api/chat");
  await page.route("**/api/chat", (route) => route.abort());
  await page.getByRole("button", { name: "Try again" }).click();
  await until(async () => /does not answer/.test(await page.getByRole("alert").last().textContent()), "the failure");
  await page.unroute("**/api/chat");
  await page.route("**/hypura/live", (route) => route.abort());
  await page.getByText("This page goes on trying").waitFor();
  await page.unroute("**/hypura/live");
  await page.getByText("This page goes on trying").waitFor({ state: "detached" });
  problems = problems.filter((it) => !/Failed to load resource/.test(it)); // the browser's own words for the above
});

test("thinking is folded away", async () => {
  const records = [{ message: { content: "", thinking: "Hm, " } }, { message: { content: "", thinking: "a fox." } }, { message: { content: "Yes." } }, { done: true, done_reason: "stop" }];
  await page.route("**/api/chat", (route) => route.fulfill({ contentType: "application/x-ndjson", body: records.map((it) => `${JSON.stringify(it)}\n`).join("") }));
  await ask("Think.");
  await finished();
  const thinking = answers().last().locator("details");
  assert.equal(await thinking.getAttribute("open"), null);
  await thinking.locator("summary").click();
  await page.getByText("Hm, a fox.").waitFor();
  assert.equal((await answerText()).trim(), "Yes.");
});

test("the map shows which experts are in memory, in colours and in words", async () => {
  const live = await server.live();
  const map = page.getByRole("img", { name: /^Map of the experts/ });
  await map.waitFor();
  assert.match(await map.getAttribute("aria-label"), new RegExp(`${live.layers.length} layers with experts: \\d+ of \\d+ experts are in memory`));
  const colours = await map.evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    return [...seen];
  });
  assert.ok(colours.includes("47,102,208"), "no cell in the colour of memory"); // --ram, light
  assert.ok(colours.includes("228,224,214"), "no cell in the colour of the disk"); // --cell-off, light
  await page.getByText("As a table").click();
  const rows = page.getByRole("region", { name: "Experts layer by layer" }).getByRole("row");
  await rows.first().waitFor();
  assert.equal(await rows.count(), live.layers.length + 1);
  const resident = [...live.layers[0].resident].filter((it) => it === "1").length;
  assert.match(await rows.nth(1).textContent(), new RegExp(`${resident} of ${live.layers[0].resident.length}`));
  for (const { purpose } of live.plan.ledger.filter((it) => it.bytes > 0)) await page.locator(".ledger").getByText(purpose, { exact: true }).waitFor();
  await page.getByText(live.plan.sentence).waitFor();
});

test("without a model the page says so, and loads it when asked", async () => {
  await fetch(`${server.url}/api/generate`, { method: "POST", body: JSON.stringify({ model: MODEL, keep_alive: 0 }) });
  await page.getByRole("heading", { name: "No model is loaded" }).waitFor();
  await setting("Max tokens", "4");
  await ask("What is the opposite of hot?");
  await finished();
  await page.getByRole("img", { name: /^Map of the experts/ }).waitFor();
});

test("the theme is the system's, and then the reader's", async () => {
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "light");
  await page.emulateMedia({ colorScheme: "dark" });
  await until(async () => (await theme()) === "dark", "the dark theme", 5);
  await page.getByRole("button", { name: "Switch to light colours" }).click();
  assert.equal(await theme(), "light");
  await page.reload();
  await message().waitFor();
  assert.equal(await theme(), "light");
});

test("the keyboard reaches everything, and the focus is seen", async () => {
  await until(async () => (await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))) === "Your message", "the focus on the message");
  const reached = new Set();
  for (let i = 0; i < 40; ++i) {
    await page.keyboard.press("Tab");
    const { name, outline } = await page.evaluate(() => {
      const it = document.activeElement;
      if (it === document.body) return { name: "", outline: true }; // round once
      return { name: (it.getAttribute("aria-label") || it.textContent || it.tagName).trim(), outline: getComputedStyle(it).outlineStyle !== "none" || it.closest(".composer") !== null };
    });
    assert.ok(outline, `no outline on ${name}`);
    reached.add(name);
  }
  for (const name of ["Settings", "Switch to dark colours", "Messages", "Memory", "The plan", "As a table"]) assert.ok(reached.has(name), `${name} is not among ${[...reached].join(" | ")}`);
});

test("reduced motion is obeyed", async () => {
  await context.close();
  await open({ reducedMotion: "reduce" });
  const frames = await page.evaluate(async () => {
    let count = 0;
    const real = window.requestAnimationFrame;
    window.requestAnimationFrame = (callback) => (++count, real(callback));
    await new Promise((resolve) => setTimeout(resolve, 1200));
    return count;
  });
  assert.ok(frames <= 15, `${frames} frames`);
});

test("a narrow screen has the picture of the model at hand", async () => {
  await context.close();
  await open({ viewport: { width: 390, height: 780 } });
  const toggle = page.getByRole("button", { name: /The model, live/ });
  assert.equal(await toggle.getAttribute("aria-expanded"), "false");
  const map = page.getByRole("img", { name: /^Map of the experts/ });
  assert.equal(await map.isVisible(), false);
  await toggle.click();
  await map.waitFor();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
});

async function picture(name) {
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

// Others ask too, so that there is something to be seen.
async function others(seconds) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const body = { model: MODEL, messages: [{ role: "user", content: "Tell me a story about a bear." }], stream: false, options: { num_predict: 40 + Math.floor(Math.random() * 120) } };
    await fetch(`${server.url}/api/chat`, { method: "POST", body: JSON.stringify(body) });
    await new Promise((resolve) => setTimeout(resolve, 4000 * Math.random()));
  }
}

async function scene(name, options) {
  await context.close();
  await open(options);
  await others(30);
  await setting("Temperature", "0");
  await setting("Max tokens", "260");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.mouse.move(0, 0);
  await ask("What is the opposite of hot?");
  await finished();
  await ask("Tell me a story about a fox named Rusty.");
  await until(async () => (await answerText()).length > 500 || (await stopButton().count()) === 0, "a picture worth taking", 60);
  await picture(name);
  await page.keyboard.press("Escape");
  await finished();
}

test("pictures for the documentation", { skip: !pictures && "HYPURA_SCREENSHOTS is not set" }, async () => {
  await scene("page-light", {});
  await scene("page-dark", { colorScheme: "dark" });
  await scene("page-narrow", { viewport: { width: 390, height: 780 } });
  await page.getByRole("button", { name: /The model, live/ }).click();
  await message().waitFor({ state: "hidden" });
  await page.mouse.move(0, 0);
  await picture("page-narrow-live");
});

test("a reload keeps the conversation until it is cleared", async () => {
  await setting("Temperature", "0");
  await ask("What is the opposite of hot?");
  await until(async () => (await answers().count()) === 1, "an answer");
  await finished();
  const text = await answerText();
  await page.reload();
  await until(async () => (await answers().count()) === 1, "the kept answer");
  assert.equal(await answerText(), text);
  assert.equal(await page.getByRole("article", { name: "You" }).locator("p").textContent(), "What is the opposite of hot?");
  await ask("Count from 1 to 5.");
  await until(async () => (await answers().count()) === 2, "the next answer");
  await finished();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.reload();
  await message().waitFor();
  assert.equal(await answers().count(), 0);
});

test("a call that a model makes up is not shown as its answer", async () => {
  const call = 'Let me see. <tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>';
  await page.route("**/api/chat", (route) =>
    route.fulfill({ contentType: "application/x-ndjson", body: `${JSON.stringify({ message: { content: call } })}\n${JSON.stringify({ done: true, done_reason: "stop", eval_count: 1, eval_duration: 1e7 })}\n` }));
  await ask("Tell me a story.");
  await finished();
  await until(async () => (await answers().count()) === 1, "the answer");
  const words = await answers().last().textContent();
  assert.ok(words.includes("Let me see.") && words.includes("called a tool") && !words.includes("tool_call"), words);
});

test("the map tells what the latest tokens used", async () => {
  await setting("Max tokens", "3");
  await ask("Tell me a story.");
  await finished();
  await until(async () => /the latest tokens used [1-9]\d* of them/.test((await page.getByRole("img", { name: /Map of the experts/ }).getAttribute("aria-label")) ?? ""), "the experts in use");
});
