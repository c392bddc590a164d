import assert from "node:assert/strict";
import { test } from "node:test";
import { Glow, HALF_LIFE, expertLayers, gridSize, layerFacts, mapSentence } from "../src/live/grid.js";

const layers = [
  { layer: 1, resident: "1100", used: [0, 7, 0, 2] },
  { layer: 2, resident: "0010", used: [0, 0, 0, 0] },
];

test("layers without experts are not on the map", () => {
  assert.deepEqual(expertLayers({ layers: [{ layer: 0, resident: "", used: [] }, ...layers] }), layers);
  assert.deepEqual(expertLayers(null), []);
});

test("the map in words", () => {
  assert.equal(mapSentence(layers), "2 layers with experts: 3 of 8 experts are in memory; the latest tokens used 2 of them.");
  assert.equal(mapSentence(layers.map((it) => ({ ...it, used: [] }))), "2 layers with experts: 3 of 8 experts are in memory.");
  assert.deepEqual(layerFacts(layers), [
    { layer: 1, resident: 2, experts: 4, used: 2, favourites: [1, 3] },
    { layer: 2, resident: 1, experts: 4, used: 0, favourites: [] },
  ]);
});

test("used experts glow while the model is at work, then fade", () => {
  const glow = new Glow();
  glow.take(layers, false);
  assert.equal(glow.at(0, 1), 0);
  glow.take(layers, true);
  const bright = glow.at(0, 1);
  assert.ok(bright > glow.at(0, 3) && glow.at(0, 3) > 0 && glow.at(0, 0) === 0);
  assert.ok(glow.fade(HALF_LIFE));
  assert.ok(Math.abs(glow.at(0, 1) - bright / 2) < 1e-6);
  assert.equal(glow.fade(60), false);
  assert.equal(glow.at(0, 1), 0);
});

test("an expert used since the last reading is brighter than one used before", () => {
  const glow = new Glow();
  glow.take([{ layer: 0, resident: "11", used: [5, 5] }], true);
  glow.take([{ layer: 0, resident: "11", used: [6, 5] }], true);
  assert.ok(glow.at(0, 0) > glow.at(0, 1) + 0.3, `${glow.at(0, 0)} ${glow.at(0, 1)}`);
});

test("another model's map starts dark", () => {
  const glow = new Glow();
  glow.take(layers, true);
  glow.take([{ layer: 0, resident: "11", used: [0, 0] }], true);
  assert.equal(glow.at(0, 1), 0);
  assert.equal(glow.at(5, 5), 0);
});

test("the grid fits its width and stays of bearable height", () => {
  for (const [rows, columns] of [[6, 32], [48, 128], [94, 512], [1, 1]]) {
    const many = Array.from({ length: rows }, (_, layer) => ({ layer, resident: "0".repeat(columns), used: [] }));
    const size = gridSize(many, 460);
    assert.ok(Math.abs(size.columns * size.cellWidth - 460) < 1e-9);
    assert.ok(size.cellHeight >= 3 && size.height <= Math.max(360, rows * 3));
    assert.ok(size.gap < size.cellWidth && size.gap < size.cellHeight);
  }
});
