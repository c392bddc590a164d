import { formatBytes } from "../format.js";

const COLOURS = 7; // --p0 to --p6

// The budget by purpose: a bar with a part for each line of the ledger, and the numbers.
export function Memory({ plan, peak }) {
  const lines = plan.ledger.filter((it) => it.bytes > 0);
  const sum = lines.reduce((total, it) => total + it.bytes, 0);
  const whole = Math.max(plan.budget, sum);
  if (whole === 0) return null;
  return (
    <div>
      <div class="stack" aria-hidden="true">
        {lines.map((it, index) => (
          <span
            key={it.purpose}
            class={`p${index % COLOURS}`}
            title={`${it.purpose}: ${formatBytes(it.bytes)}`}
            style={{ width: `${((100 * it.bytes) / whole).toFixed(3)}%` }}
          />
        ))}
      </div>
      <ul class="ledger">
        {lines.map((it, index) => (
          <li key={it.purpose}>
            <i class={`swatch p${index % COLOURS}`} />
            <span>{it.purpose}</span>
            <b>{formatBytes(it.bytes)}</b>
          </li>
        ))}
        {whole > sum && (
          <li>
            <i class="swatch free" />
            <span>not needed</span>
            <b>{formatBytes(whole - sum)}</b>
          </li>
        )}
      </ul>
      <p class="note">
        A budget of {formatBytes(plan.budget)}
        {peak > 0 && `; the whole process, code and all, took ${formatBytes(peak)} at most`}.
      </p>
    </div>
  );
}
