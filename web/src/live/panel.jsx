import { useState } from "preact/hooks";
import { formatNumber } from "../format.js";
import { Chart } from "./chart.jsx";
import { Figures } from "./figures.jsx";
import { expertLayers } from "./grid.js";
import { LayerMap } from "./layers.jsx";
import { Machines } from "./machines.jsx";
import { ExpertMap } from "./map.jsx";
import { Memory } from "./memory.jsx";
import { live, rates, reachable } from "./poll.js";

function Section({ title, look = "", children }) {
  return (
    <details class={`card ${look}`} open>
      <summary><h2>{title}</h2></summary>
      {children}
    </details>
  );
}

function Plan({ plan, memory }) {
  return (
    <Section title="The plan" look="plan">
      <p>{plan.sentence}</p>
      {memory?.sentence && (
        <p class="callout" role="status">
          {memory.sentence}; expect {formatNumber(memory.tokens_per_second)} tokens/s
        </p>
      )}
      {plan.why && <p class="muted">{plan.why}</p>}
      {plan.warnings.map((it) => <p key={it} class="callout">{it}</p>)}
    </Section>
  );
}

function Loaded({ state }) {
  const { plan, stats } = state;
  const experts = expertLayers(state);
  const streamed = plan.layers.some((it) => it.dense_kept < it.dense_bytes);
  return (
    <>
      <section class="card" aria-label="Figures">
        <Figures stats={stats} rates={rates.value} plan={plan} />
      </section>
      {experts.length > 0 && (
        <Section title="Experts, layer by layer"><ExpertMap /></Section>
      )}
      {plan.layers.length > 0 && (experts.length === 0 || streamed) && (
        <Section title="Layers"><LayerMap layers={plan.layers} /></Section>
      )}
      {stats.workers.length > 0 && (
        <Section title="Machines"><Machines state={state} rates={rates.value} /></Section>
      )}
      <Section title="The last minutes">
        <Chart title="Speed" unit="tok/s" column="tokens" factor={1} colour="--ram" values={formatNumber} />
        {plan.mode !== "resident" && (
          <Chart title="From disk" unit="GB/s" column="bytes" factor={1e-9} colour="--p4" values={formatNumber} />
        )}
      </Section>
      <Section title="Memory"><Memory plan={plan} peak={stats.memory_peak} /></Section>
      <Plan plan={plan} memory={state.memory} />
    </>
  );
}

function Unloaded({ state }) {
  return (
    <section class="card empty">
      <h2>No model is loaded</h2>
      <p>It is loaded when something is asked of it, and unloaded when it has long been unused. Its picture is here then.</p>
      <ul>
        {state.models.map((it) => (
          <li key={it.name}><b>{it.name}</b> <span class="muted">{[it.architecture, it.parameter_size, it.quantization].filter(Boolean).join(" · ")}</span></li>
        ))}
      </ul>
    </section>
  );
}

// In one line, for narrow screens.
function brief(state) {
  if (!reachable.value) return "no connection";
  if (!state?.loaded) return "no model loaded";
  const speed = rates.value?.tokensPerSecond;
  return `${speed === null || speed === undefined ? "–" : formatNumber(speed)} tok/s, ${state.stats.running} running`;
}

export function Panel() {
  const state = live.value;
  const [open, setOpen] = useState(false);
  return (
    <aside class={`live ${open ? "open" : ""}`} aria-label="The model, live">
      <button type="button" class="live-toggle" aria-expanded={open} aria-controls="live-body" onClick={() => setOpen(!open)}>
        <span>The model, live</span> <span class="muted">{brief(state)}</span>
      </button>
      <div id="live-body" class="live-body">
        {!reachable.value && (
          <p class="callout bad" role="status">The server does not answer. This page goes on trying; what it shows is from before.</p>
        )}
        {state === null ? reachable.value && <p class="muted">Asking the server …</p> : state.loaded ? <Loaded state={state} /> : <Unloaded state={state} />}
      </div>
    </aside>
  );
}
