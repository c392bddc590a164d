import assert from "node:assert/strict";
import { test } from "node:test";
import { HISTORY, Rates } from "../src/live/rates.js";

const stats = (passes, tokens, bytes, lookups = 0, hits = 0) => ({
  passes, decoded_tokens: tokens, streamed_bytes: bytes, expert_lookups: lookups, expert_hits: hits, running: 0, io_wait_seconds: bytes / 1e4,
  gpu_expert_lookups: lookups, gpu_expert_hits: hits / 3, gpu_upload_bytes: 3 * bytes, gpu_download_bytes: 2 * bytes, gpu_link_busy_seconds: bytes / 5e3,
});

test("the first reading tells no rate", () => {
  const rates = new Rates().add({ time: 5, stats: stats(3, 10, 100, 40, 10) });
  assert.equal(rates.tokensPerSecond, null);
  assert.equal(rates.hitRate, 0.25); // of all since the model was opened
  assert.equal(rates.busy, false);
});

test("rates are those of the last two seconds", () => {
  const meter = new Rates();
  let now = null;
  for (let i = 0; i <= 20; ++i) now = meter.add({ time: i / 2, stats: stats(i, i * i, i * 1000) });
  assert.equal(now.tokensPerSecond, (20 * 20 - 16 * 16) / 2);
  assert.equal(now.bytesPerSecond, 2000);
  assert.equal(now.upPerSecond, 6000);
  assert.equal(now.downPerSecond, 4000);
  assert.ok(Math.abs(now.linkBusy - 0.4) < 1e-9);
  assert.ok(Math.abs(now.waiting - 0.2) < 1e-9);
  assert.equal(now.busy, true);
  assert.equal(now.points.time.length, 21);
});

test("how busy a link is that was not measured is not told", () => {
  const meter = new Rates();
  const unmeasured = { gpu_link_busy_seconds: 0 };
  meter.add({ time: 0, stats: { ...stats(1, 0, 0), ...unmeasured } });
  assert.equal(meter.add({ time: 1, stats: { ...stats(2, 5, 100), ...unmeasured } }).linkBusy, null);
});

test("the hit rate is that of the last ten seconds while experts are used", () => {
  const meter = new Rates();
  meter.add({ time: 0, stats: stats(1, 0, 0, 1000, 0) });
  for (let t = 1; t <= 30; ++t) meter.add({ time: t, stats: stats(1 + t, 0, 0, 1000 + 10 * t, 9 * t) });
  const { hitRate, gpuHitRate } = meter.add({ time: 31, stats: stats(32, 0, 0, 1310, 279) });
  assert.equal(hitRate, 0.9);
  assert.ok(Math.abs(gpuHitRate - 0.3) < 1e-9);
});

test("a model loaded anew starts anew", () => {
  const meter = new Rates();
  meter.add({ time: 0, stats: stats(100, 5000, 9e9) });
  assert.equal(meter.add({ time: 1, stats: null }).tokensPerSecond, null);
  assert.equal(meter.add({ time: 2, stats: stats(1, 1, 1) }).tokensPerSecond, null);
  assert.equal(meter.add({ time: 3, stats: stats(2, 5, 1) }).tokensPerSecond, 4);
  assert.equal(meter.add({ time: 4, stats: stats(0, 0, 0) }).tokensPerSecond, null); // counters that went back
});

test("points are kept for some minutes, and dropped when the server's clock goes back", () => {
  const meter = new Rates();
  let rates = null;
  for (let t = 0; t <= HISTORY * 2; ++t) rates = meter.add({ time: t, stats: stats(t, t, t) });
  assert.equal(rates.points.time.length, HISTORY);
  assert.deepEqual(new Set(Object.values(rates.points).map((it) => it.length)), new Set([HISTORY]));
  rates = meter.add({ time: 3, stats: stats(1000, 1000, 1000) });
  assert.deepEqual(rates.points.time, [3]);
  assert.equal(rates.tokensPerSecond, null);
});
