import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { chunks, cppSource } from "../cpp.mjs";
import { announce, announceEnd, announceStart, announcements, sentenceEnd } from "../src/chat/announcer.js";
import { formatBandwidth, formatBytes, formatNumber, formatSeconds, formatShare, plural } from "../src/format.js";

test("numbers as the command line writes them", () => {
  assert.equal(formatBytes(512), "512 B");
  assert.equal(formatBytes(24 * 1024 * 1024), "24.0 MiB");
  assert.equal(formatBytes(5.9 * 1024 ** 3), "5.9 GiB");
  assert.deepEqual([0, 0.4214, 35.24, 119.7].map(formatNumber), ["0", "0.42", "35.2", "120"]);
  assert.deepEqual([310e6, 1.2345e9, 999.9e6].map(formatBandwidth), ["310 MB/s", "1.23 GB/s", "1.00 GB/s"]);
  assert.deepEqual([0.614, 0.997, 1, 0].map(formatShare), ["61 %", "99.7 %", "100 %", "0 %"]);
  assert.deepEqual([0.0341, 0.41, 12.3, 185].map(formatSeconds), ["34 ms", "0.4 s", "12 s", "3 min 5 s"]);
  assert.deepEqual([plural(1, "token"), plural(0, "token")], ["1 token", "0 tokens"]);
});

beforeEach(announceStart);

test("sentences end where a screen reader may stop", () => {
  assert.equal(sentenceEnd("One. Two"), 4);
  assert.equal(sentenceEnd('He said "No!" Then'), 13);
  assert.equal(sentenceEnd("3.14"), 0);
  assert.equal(sentenceEnd("- item\n- it"), 7);
});

test("an answer is told once, sentence by sentence, and how it ended", () => {
  let text = "";
  for (const piece of "A fox ran. It was red.  And then it slept".match(/.{1,3}/g)) {
    text += piece;
    announce(text);
  }
  announceEnd("The answer is complete.");
  assert.deepEqual(announcements.value, ["A fox ran.", "It was red.", "And then it slept The answer is complete."]);
  announceStart();
  announceEnd("");
  assert.deepEqual(announcements.value, []);
});

test("the C++ source holds all of the page", () => {
  const html = "<p>🐢 \\n \"quoted\"</p>\n".repeat(3000);
  for (const size of [1, 2, 3, 12000]) assert.equal(chunks(html.slice(0, 100), size).join(""), html.slice(0, 100));
  assert.ok(chunks("🐢🐢", 1).every((it) => it.length > 0));
  const source = cppSource({ html, policy: "default-src 'none'", tag: '"abc"' });
  const literals = [...source.matchAll(/R"hypura\(([\s\S]*?)\)hypura"/g)].map((it) => it[1]);
  assert.equal(literals.slice(0, -2).join(""), html);
  assert.deepEqual(literals.slice(-2), ["default-src 'none'", '"abc"']);
  assert.ok(literals.every((it) => it.length <= 16000));
  assert.throws(() => cppSource({ html: 'x)hypura"', policy: "", tag: "" }));
});
