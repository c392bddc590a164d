import { formatBandwidth, formatBytes, formatNumber, formatShare } from "../format.js";

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

const orDash = (value, format) => (value === null ? "–" : format(value));

export function Figures({ stats, rates, plan }) {
  const { tokensPerSecond, bytesPerSecond, waiting, hitRate, gpuHitRate, upPerSecond, downPerSecond, linkBusy } = rates;
  const onGpu = stats.gpu_upload_bytes > 0;
  const streams = plan.mode !== "resident";
  const perToken = tokensPerSecond > 0 ? bytesPerSecond / tokensPerSecond : null;
  return (
    <dl class="figures">
      <Figure
        label="Speed"
        value={orDash(tokensPerSecond, (it) => `${formatNumber(it)} tok/s`)}
        note={plan.tokens_per_second > 0 ? `${formatNumber(plan.tokens_per_second)} planned for one` : "of all answers together"}
      />
      {streams && (
        <Figure label="From disk" value={orDash(bytesPerSecond, formatBandwidth)} note={perToken === null ? "nothing is read now" : `${formatBytes(Math.round(perToken))} a token`} />
      )}
      {streams && <Figure label="Waiting for disk" value={orDash(waiting, formatShare)} note="of the time" />}
      {stats.expert_lookups > 0 && <Figure label="Hit rate" value={orDash(hitRate, formatShare)} note={stats.gpu_expert_lookups > 0 ? "experts found in RAM or VRAM" : "experts found in RAM"} />}
      {stats.gpu_expert_lookups > 0 && <Figure label="In VRAM" value={orDash(gpuHitRate, formatShare)} note="of the experts asked for" />}
      {onGpu && <Figure label="To the GPU" value={orDash(upPerSecond, formatBandwidth)} note={downPerSecond > 0 ? `${formatBandwidth(downPerSecond)} back` : "nothing comes back now"} />}
      {onGpu && linkBusy !== null && <Figure label="Link busy" value={formatShare(Math.min(1, linkBusy))} note="of the time, at least, with copies to the GPU" />}
      <Figure label="Answers" value={`${stats.running} of ${stats.parallel}`} note={stats.queued > 0 ? `${stats.queued} waiting` : `at once; ${stats.answers} so far`} />
      <Figure
        label="Context"
        value={stats.context_size > 0 ? formatShare(stats.context_used / stats.context_size) : "–"}
        note={`${stats.context_used} of ${stats.context_size} tokens`}
      />
    </dl>
  );
}
