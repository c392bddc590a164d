// The server's live picture, asked for twice a second while the page is seen.
import { batch, signal } from "@preact/signals";
import { Rates } from "./rates.js";

const PERIOD = 500; // ms
const HIDDEN_PERIOD = 5000;
const PATIENCE = 10000;

export const live = signal(null); // the latest reading of /hypura/live; null before the first
export const rates = signal(null); // what rates.js makes of the latest readings
export const reachable = signal(true);

const meter = new Rates();
let timer = null;

async function read() {
  try {
    const response = await fetch("/hypura/live", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`${response.status}`);
    const reading = await response.json();
    batch(() => {
      rates.value = meter.add(reading);
      live.value = reading;
      reachable.value = true;
    });
  } catch {
    reachable.value = false;
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(read, document.hidden ? HIDDEN_PERIOD : PERIOD);
}

export function startPolling() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) schedule();
  });
  void read();
}
