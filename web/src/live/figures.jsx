import { formatBandwidth, formatNumber, formatShare, plural } from "../format.js";

function Figure({ label, value, note }) {
  return (
    <div class="figure">
      <dt>{label}</dt>
      <dd>
        <b>{value}</b>
        <span>{note}</span>
      </dd>
    </div>
  );
}

export function Figures({ stats, rates, plan }) {
  const { tokensPerSecond, bytesPerSecond, hitRate } = rates;
  const streams = plan.mode !== "resident";
  const predicted = plan.tokens_per_second > 0 ? `planned ${formatNumber(plan.tokens_per_second)} for one answer` : "all answers together";
  return (
    <dl class="figures">
      <Figure label="Speed" value={tokensPerSecond === null ? "–" : `${formatNumber(tokensPerSecond)} tok/s`} note={predicted} />
      {streams && (
        <Figure
          label="From disk"
          value={bytesPerSecond === null ? "–" : formatBandwidth(bytesPerSecond)}
          note={stats.running > 0 ? "read for these answers" : "nothing to read"}
        />
      )}
      {stats.expert_lookups > 0 && (
        <Figure label="Experts found in RAM" value={hitRate === null ? "–" : formatShare(hitRate)} note="of those asked for" />
      )}
      <Figure
        label="Answers"
        value={`${stats.running} of ${stats.parallel}`}
        note={stats.queued > 0 ? `${stats.queued} waiting` : `running; ${plural(stats.answers, "answer")} so far`}
      />
      <Figure
        label="Context"
        value={stats.context_size > 0 ? formatShare(stats.context_used / stats.context_size) : "–"}
        note={`${stats.context_used} of ${stats.context_size} tokens`}
      />
    </dl>
  );
}
