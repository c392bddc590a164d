import { useEffect, useRef, useState } from "preact/hooks";
import { isDark } from "../theme.js";
import { Glow, expertLayers, gridSize, layerFacts, mapSentence } from "./grid.js";
import { live, rates } from "./poll.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const GUTTER = 26; // CSS pixels for layer numbers
const EDGE = 2; // CSS pixels above and below, for what numbers are higher than cells
const FRAME = 45; // ms: the processor that draws may be the one that computes the answer

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { vram: of("--vram"), memory: of("--ram"), disk: of("--cell-off"), glow: of("--glow"), ink: of("--muted") };
}

function draw(canvas, layers, glow) {
  const width = canvas.clientWidth - GUTTER;
  if (width <= 0 || layers.length === 0) return;
  const size = gridSize(layers, width);
  const scale = devicePixelRatio || 1;
  const pixels = [Math.round(canvas.clientWidth * scale), Math.round((size.height + 2 * EDGE) * scale)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) {
    [canvas.width, canvas.height] = pixels;
    canvas.style.height = `${size.height + 2 * EDGE}px`;
  }
  const context = canvas.getContext("2d");
  const palette = colours();
  context.setTransform(scale, 0, 0, scale, 0, EDGE * scale);
  context.clearRect(0, -EDGE, canvas.clientWidth, size.height + 2 * EDGE);
  layers.forEach((layer, row) => {
    const y = row * size.cellHeight;
    for (let expert = 0; expert < layer.resident.length; ++expert) {
      const x = GUTTER + expert * size.cellWidth;
      const box = [x, y, size.cellWidth - size.gap, size.cellHeight - size.gap];
      context.globalAlpha = 1;
      context.fillStyle = { 2: palette.vram, 1: palette.memory }[layer.resident[expert]] ?? palette.disk;
      context.fillRect(...box);
      drawLight(context, box, glow.at(row, expert), palette.glow);
    }
  });
  label(context, layers, size, palette.ink);
}

// A use, brighter and larger the fresher it is; in cells with room for it, what lies around it still tells the tier.
function drawLight(context, [x, y, width, height], light, colour) {
  if (light < 0.02) return;
  const room = Math.min(width, height);
  context.fillStyle = colour;
  context.globalAlpha = room < 6 ? light : 0.45 + 0.55 * light;
  if (room < 6) {
    context.fillRect(x, y, width, height);
    return;
  }
  const radius = room * (0.1 + 0.36 * Math.sqrt(light));
  context.beginPath();
  context.arc(x + width / 2, y + height / 2, radius, 0, 2 * Math.PI);
  context.fill();
}

// Layer numbers, as many as there is room for.
function label(context, layers, size, ink) {
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.font = "10px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  const every = Math.ceil(12 / size.cellHeight);
  for (let row = 0; row < layers.length; row += every) {
    context.fillText(layers[row].layer, GUTTER - 6, (row + 0.5) * size.cellHeight);
  }
}

// The cell under the pointer in words.
function cellWords(canvas, layers, event) {
  const size = gridSize(layers, canvas.clientWidth - GUTTER);
  const row = Math.floor((event.offsetY - EDGE) / size.cellHeight);
  const expert = Math.floor((event.offsetX - GUTTER) / size.cellWidth);
  const layer = layers[row];
  if (!layer || expert < 0 || expert >= layer.resident.length) return "";
  const where = { 2: "in VRAM", 1: "in RAM" }[layer.resident[expert]] ?? "on disk";
  const used = layer.used[expert] ?? 0;
  return `Layer ${layer.layer}, expert ${expert}: ${where}, ${used === 0 ? "not used lately" : `used ${used} × lately`}`;
}

function useGlow(canvas) {
  const glow = useRef(null);
  glow.current ??= new Glow();
  const frame = useRef(0);
  const reading = live.value;
  const busy = rates.value?.busy ?? false;
  const dark = isDark();

  useEffect(() => {
    if (!canvas.current) return; // gone with its model before it was painted
    const layers = expertLayers(reading);
    if (still.matches) glow.current.fade(3600); // only what is used now, without fading
    glow.current.take(layers, busy);
    draw(canvas.current, layers, glow.current);
    if (still.matches || frame.current !== 0) return;
    let before = performance.now();
    const step = (now) => {
      let seen = true;
      if (now - before >= FRAME) {
        seen = glow.current.fade((now - before) / 1000);
        before = now;
        if (canvas.current) draw(canvas.current, expertLayers(live.peek()), glow.current);
      }
      frame.current = seen && canvas.current ? requestAnimationFrame(step) : 0;
    };
    frame.current = requestAnimationFrame(step);
  }, [reading, dark]);

  useEffect(() => {
    const again = new ResizeObserver(() => {
      if (canvas.current) draw(canvas.current, expertLayers(live.peek()), glow.current);
    });
    again.observe(canvas.current);
    return () => {
      again.disconnect();
      cancelAnimationFrame(frame.current);
    };
  }, []);
}

export function ExpertMap() {
  const canvas = useRef(null);
  const [words, setWords] = useState("");
  useGlow(canvas);
  const layers = expertLayers(live.value);
  return (
    <div>
      <canvas
        ref={canvas}
        class="map"
        role="img"
        aria-label={`Map of the experts. ${mapSentence(layers)} The table below says it layer by layer.`}
        onPointerMove={(event) => setWords(cellWords(event.currentTarget, layers, event))}
        onPointerLeave={() => setWords("")}
      />
      <p class="note" aria-hidden="true">{words || mapSentence(layers)}</p>
      <div class="legend">
        {layers.some((it) => it.resident.includes("2")) && <span><i class="swatch vram" />in VRAM</span>}
        <span><i class="swatch ram" />in RAM</span>
        <span><i class="swatch cell-off" />on disk</span>
        <span><i class="swatch glow" />used now</span>
      </div>
      <ExpertTable layers={layers} />
    </div>
  );
}

function ExpertTable({ layers }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="table" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Experts layer by layer">
          <table>
            <thead>
              <tr><th scope="col">layer</th><th scope="col">in RAM</th><th scope="col">used lately</th><th scope="col">most used</th></tr>
            </thead>
            <tbody>
              {layerFacts(layers).map((it) => (
                <tr key={it.layer}>
                  <th scope="row">{it.layer}</th>
                  <td>{it.resident} of {it.experts}</td>
                  <td>{it.used}</td>
                  <td>{it.favourites.join(", ") || "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
