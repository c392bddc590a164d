// Numbers as people read them; the same words as the command line's.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

// "5.9 GiB", "24.0 MiB", "512 B".
export function formatBytes(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit + 1 < UNITS.length) {
    bytes /= 1024;
    ++unit;
  }
  return unit === 0 ? `${bytes} B` : `${bytes.toFixed(1)} ${UNITS[unit]}`;
}

// Three digits: "0.42", "35.2", "120"; "0" for nothing.
export function formatNumber(value) {
  if (value === 0) return "0";
  const digits = value >= 99.5 ? 0 : value >= 9.995 ? 1 : 2;
  return value.toFixed(digits);
}

// "1.24 GB/s", "310 MB/s".
export function formatBandwidth(bytesPerSecond) {
  if (bytesPerSecond >= 999.5e6) return `${formatNumber(bytesPerSecond / 1e9)} GB/s`;
  return `${formatNumber(bytesPerSecond / 1e6)} MB/s`;
}

// "61 %", "99.7 %": a decimal where it tells something near the ends.
export function formatShare(share) {
  const percent = share * 100;
  return `${percent > 95 && percent < 100 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

// "34 ms", "0.4 s", "12 s", "3 min 5 s".
export function formatSeconds(seconds) {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${seconds.toFixed(0)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

// "1 expert", "4 experts".
export function plural(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
