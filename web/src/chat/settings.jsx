import { live } from "../live/poll.js";
import { DEFAULTS, model, settings } from "./conversation.js";

const set = (field, value) => (settings.value = { ...settings.value, [field]: value });

// A number, or nothing: then the server's default holds, which `placeholder` says.
function NumberField({ field, label, placeholder, ...limits }) {
  return (
    <label>
      <span>{label}</span>
      <input type="number" placeholder={placeholder} value={settings.value[field]} onInput={(event) => set(field, event.currentTarget.value)} {...limits} />
    </label>
  );
}

function Check({ field, label }) {
  return (
    <label class="check">
      <input type="checkbox" checked={settings.value[field]} onChange={(event) => set(field, event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

export function Settings() {
  const thinks = live.value?.models?.find((it) => it.name === model())?.thinking;
  return (
    <section id="settings" class="settings" aria-label="Settings">
      <label class="wide">
        <span>System prompt</span>
        <textarea rows={2} value={settings.value.system} placeholder="How the model should answer" onInput={(event) => set("system", event.currentTarget.value)} />
      </label>
      <div class="numbers">
        <NumberField field="temperature" label="Temperature" placeholder="0.8" min={0} step={0.1} />
        <NumberField field="top_p" label="Top p" placeholder="0.9" min={0} max={1} step={0.05} />
        <NumberField field="top_k" label="Top k" placeholder="40" min={0} step={1} />
        <NumberField field="max_tokens" label="Max tokens" placeholder="no limit" min={1} step={1} />
        <NumberField field="seed" label="Seed" placeholder="random" min={0} step={1} />
      </div>
      <div class="checks">
        <Check field="json" label="Answer in JSON" />
        {thinks && <Check field="think" label="Think before answering" />}
        <button type="button" class="quiet" onClick={() => (settings.value = { ...DEFAULTS })}>Back to the defaults</button>
      </div>
    </section>
  );
}
