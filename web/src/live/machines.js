// What the page says of each worker: machines that compute experts, or layers, beside the server's.
import { formatNumber, formatShare } from "../format.js";

// "joined", "lost", "not asked" or "not there".
function standing(planned, now) {
  if (now.joined > 0) return "joined";
  if (now.losses > 0) return "lost";
  return planned?.there && !planned.asked ? "not asked" : "not there";
}

// Of a reading of /hypura/live and the rates told from it: for each worker {name, standing, note}.
export function machines(state, rates) {
  return state.stats.workers.map((now, index) => {
    const planned = state.plan.workers[index];
    const rate = rates?.workers?.[index];
    const words = [];
    if (now.joined > 0 && now.experts > 0) {
      words.push(`${formatNumber(rate?.rowsPerSecond ?? 0)} rows/s`);
      words.push(`${formatShare(now.expert_hits / now.experts)} of ${now.experts} experts in its memory`);
      if (rate?.waiting !== null && rate?.waiting !== undefined) words.push(`waited for ${formatShare(rate.waiting)} of the time`);
    }
    if (now.joined > 0 && planned?.layers > 0) {
      words.push(`${planned.layers} whole layers`);
      words.push(`${formatNumber(rate?.rowsPerSecond ?? 0)} tokens/s`);
      if (rate?.waiting !== null && rate?.waiting !== undefined) words.push(`waited for ${formatShare(rate.waiting)} of the time`);
    }
    if (now.losses > 0) {
      const instead = planned?.layers > 0 ? "" : `, ${now.rows_done_here} rows done here instead`;
      words.push(`lost ${now.losses === 1 ? "once" : `${now.losses} times`}${instead}`);
    }
    if (now.joined === 0 && planned?.reason) words.push(planned.reason);
    return { name: now.name, standing: standing(planned, now), note: words.join("; ") };
  });
}
