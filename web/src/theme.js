// Light or dark: as the system says, until the reader chooses.
import { effect, signal } from "@preact/signals";
import { recall, remember } from "./storage.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", (event) => (systemDark.value = event.matches));

// "light", "dark" or null: as the system says.
const chosen = signal(recall("theme", null));

export const isDark = () => (chosen.value === null ? systemDark.value : chosen.value === "dark");

export function toggleTheme() {
  const next = isDark() ? "light" : "dark";
  // Back to what the system says means: follow it again.
  chosen.value = (next === "dark") === systemDark.value ? null : next;
  remember("theme", chosen.value);
}

// Puts the choice on the document, now and whenever it changes.
export function applyTheme() {
  effect(() => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  });
}
