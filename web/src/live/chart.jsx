import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { isDark } from "../theme.js";
import { rates } from "./poll.js";
import { HISTORY } from "./rates.js";

const HEIGHT = 84;

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Seconds before now: "−2 min".
const ago = (seconds) => (seconds === 0 ? "now" : `−${Math.round(-seconds / 60)} min`);

function options(width, colour, values) {
  const axis = { stroke: variable("--muted"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [6, 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-HISTORY, 0] }, y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1e-9)] } },
    axes: [
      { ...axis, size: 20, gap: 4, grid: { show: false }, splits: () => [-120, -60, 0], values: (_, all) => all.map(ago) },
      { ...axis, size: 46, gap: 4, grid: { stroke: variable("--line"), width: 1 }, space: 28, values: (_, all) => all.map(values) },
    ],
    series: [{}, { stroke: variable(colour), fill: `${variable(colour)}26`, width: 1.5, points: { show: false } }],
  };
}

// A line over the last minutes. `column` is one of rates.points; `values` makes an axis value a word.
export function Chart({ title, unit, column, factor, colour, values }) {
  const place = useRef(null);
  const plot = useRef(null);
  const dark = isDark();
  const points = rates.value?.points;

  useEffect(() => {
    const box = place.current; // outlives the reference: the observer also sees it being taken away
    plot.current = new uPlot(options(box.clientWidth, colour, values), [[], []], box);
    const resized = new ResizeObserver(() => {
      if (box.clientWidth > 0) plot.current.setSize({ width: box.clientWidth, height: HEIGHT });
    });
    resized.observe(box);
    return () => {
      resized.disconnect();
      plot.current.destroy();
    };
  }, [dark]);

  useEffect(() => {
    if (!place.current || !points || points.time.length === 0) return; // gone with its model, or nothing to show
    const now = points.time.at(-1);
    plot.current.setData([points.time.map((it) => it - now), points[column].map((it) => it * factor)]);
  }, [points, dark]);

  const most = points ? Math.max(0, ...points[column]) * factor : 0;
  return (
    <figure class="chart">
      <figcaption>{title} <span>{unit}</span></figcaption>
      <div ref={place} role="img" aria-label={`${title} over the last three minutes: at most ${values(most)} ${unit}`} />
    </figure>
  );
}
