import assert from "node:assert/strict";
import { test } from "node:test";
import { machines } from "../src/live/machines.js";
import { Rates } from "../src/live/rates.js";

const worker = (fields) => ({ name: "box:1", joined: 1, experts: 0, expert_hits: 0, rows: 0, rows_done_here: 0, losses: 0, wait_seconds: 0, ...fields });
const reading = (time, fields) => ({
  time,
  stats: { passes: time, running: 0, workers: [worker(fields)] },
  plan: { workers: [{ name: "box:1", there: true, asked: true, reason: null }] },
});

test("a worker's rows and waiting are those of the last two seconds", () => {
  const meter = new Rates();
  meter.add(reading(1, { experts: 10, expert_hits: 2, rows: 100 }));
  const last = reading(3, { experts: 40, expert_hits: 30, rows: 300, wait_seconds: 0.5 });
  assert.deepEqual(machines(last, meter.add(last)), [
    { name: "box:1", standing: "joined", note: "100 rows/s; 75 % of 40 experts in its memory; waited for 25 % of the time" },
  ]);
});

test("one with whole layers says how many", () => {
  const meter = new Rates();
  meter.add(reading(1, { rows: 100 }));
  const last = reading(3, { rows: 300, wait_seconds: 0.5 });
  last.plan.workers[0].layers = 4;
  assert.deepEqual(machines(last, meter.add(last)), [
    { name: "box:1", standing: "joined", note: "4 whole layers; 100 tokens/s; waited for 25 % of the time" },
  ]);
  const lost = reading(4, { joined: 0, losses: 1 });
  lost.plan.workers[0].layers = 4;
  assert.equal(machines(lost, null)[0].note, "lost once");
});

test("one that does not compute says why", () => {
  const state = reading(1, { joined: 0 });
  state.plan.workers = [{ name: "box:1", there: true, asked: false, reason: "it is too far" }];
  assert.deepEqual(machines(state, null), [{ name: "box:1", standing: "not asked", note: "it is too far" }]);
  state.plan.workers[0].there = false;
  assert.equal(machines(state, null)[0].standing, "not there");
  const lost = reading(2, { joined: 0, experts: 5, losses: 2, rows_done_here: 7 });
  assert.deepEqual(machines(lost, null), [{ name: "box:1", standing: "lost", note: "lost 2 times, 7 rows done here instead" }]);
});
