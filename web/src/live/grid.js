// What the map of layers and experts shows: pure arithmetic over readings, no drawing.

export const HALF_LIFE = 0.7; // seconds in which a glow fades by half

// The layers of a reading that have experts.
export function expertLayers(reading) {
  return (reading?.layers ?? []).filter((layer) => layer.resident.length > 0);
}

// Glows of cells, [layer][expert], 0 to 1.
export class Glow {
  #cells = [];
  #used = [];

  // Takes the layers of a reading. While the model is at work, the experts that the latest tokens used most glow, and
  // brighter those used more than in the reading before.
  take(layers, busy) {
    const same = layers.length === this.#cells.length && layers.every((it, i) => it.resident.length === this.#cells[i].length);
    if (!same) this.#cells = layers.map((it) => new Float32Array(it.resident.length));
    if (busy) {
      layers.forEach((layer, row) => {
        const most = Math.max(1, ...layer.used);
        const before = same ? this.#used[row] : layer.used;
        const more = layer.used.map((count, expert) => Math.max(0, count - (before[expert] ?? 0)));
        const mostMore = Math.max(1, ...more);
        layer.used.forEach((count, expert) => {
          const target = 0.55 * (count / most) ** 1.5 + 0.45 * (more[expert] / mostMore);
          this.#cells[row][expert] = Math.max(this.#cells[row][expert], target);
        });
      });
    }
    this.#used = layers.map((it) => it.used);
  }

  // Lets all glows fade for `seconds`; tells whether any is left to be seen.
  fade(seconds) {
    const factor = 0.5 ** (seconds / HALF_LIFE);
    let seen = false;
    for (const row of this.#cells) {
      for (let i = 0; i < row.length; ++i) {
        row[i] = row[i] * factor < 0.01 ? 0 : row[i] * factor;
        seen ||= row[i] > 0;
      }
    }
    return seen;
  }

  at(row, expert) {
    return this.#cells[row]?.[expert] ?? 0;
  }
}

// In RAM or VRAM.
const residents = (layer) => [...layer.resident].filter((it) => it !== "0").length;

// One line for each layer: {layer, resident, experts, used, favourites}; favourites are the most used, at most three.
export function layerFacts(layers) {
  return layers.map((layer) => {
    const order = layer.used.map((count, expert) => ({ expert, count })).filter((it) => it.count > 0);
    order.sort((a, b) => b.count - a.count || a.expert - b.expert);
    return {
      layer: layer.layer,
      resident: residents(layer),
      experts: layer.resident.length,
      used: order.length,
      favourites: order.slice(0, 3).map((it) => it.expert),
    };
  });
}

// The map in a sentence.
export function mapSentence(layers) {
  const all = layers.reduce((sum, it) => sum + it.resident.length, 0);
  const inMemory = layers.reduce((sum, it) => sum + residents(it), 0);
  const used = layers.reduce((sum, it) => sum + it.used.filter((count) => count > 0).length, 0);
  const latest = used > 0 ? `; the latest tokens used ${used} of them` : ""; // nobody sees it where all stay in memory
  return `${layers.length} layers with experts: ${inMemory} of ${all} experts are in memory${latest}.`;
}

// The experts' cells on `width` CSS pixels: {columns, rows, cellWidth, cellHeight, gap, height}.
export function gridSize(layers, width) {
  const columns = Math.max(1, ...layers.map((it) => it.resident.length));
  const rows = layers.length;
  const cellWidth = width / columns;
  const cellHeight = Math.max(3, Math.min(cellWidth, 16, 360 / Math.max(1, rows)));
  return { columns, rows, cellWidth, cellHeight, gap: Math.min(cellWidth, cellHeight) > 5 ? 1.5 : Math.min(cellWidth, cellHeight) > 3 ? 0.5 : 0, height: rows * cellHeight };
}
