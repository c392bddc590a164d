import { machines } from "./machines.js";

// A line for each worker.
export function Machines({ state, rates }) {
  return (
    <ul class="ledger machines">
      {machines(state, rates).map((it) => (
        <li key={it.name}>
          <span>
            {it.name}
            {it.note && <small class="muted">{it.note}</small>}
          </span>
          <b>{it.standing}</b>
        </li>
      ))}
    </ul>
  );
}
