import { formatBytes, formatShare } from "../format.js";

// The share of a layer's weights that the plan keeps in memory, in words.
function shareWords(layer) {
  const parts = [];
  if (layer.dense_bytes > 0) parts.push(`dense weights ${formatBytes(layer.dense_kept)} of ${formatBytes(layer.dense_bytes)}`);
  if (layer.expert_bytes > 0) parts.push(`experts ${formatBytes(layer.expert_kept)} of ${formatBytes(layer.expert_bytes)}`);
  const kept = layer.dense_kept + layer.expert_kept;
  return `Layer ${layer.layer}: ${formatShare(kept / (layer.dense_bytes + layer.expert_bytes))} kept in RAM (${parts.join(", ")})`;
}

// A sentence for all of them.
export function layersSentence(layers) {
  const sum = (field) => layers.reduce((total, it) => total + it[field], 0);
  const all = sum("dense_bytes") + sum("expert_bytes");
  const kept = sum("dense_kept") + sum("expert_kept");
  if (all === kept) return `All ${layers.length} layers are kept in RAM.`;
  return `${layers.length} layers: ${formatBytes(kept)} of ${formatBytes(all)} stay in RAM, the rest is read from disk for every pass.`;
}

// A column a layer, filled as far as it is kept in memory.
export function LayerMap({ layers }) {
  return (
    <div>
      <div class="layer-map" role="img" aria-label={`Map of the layers. ${layersSentence(layers)}`}>
        {layers.map((layer) => {
          const all = layer.dense_bytes + layer.expert_bytes;
          const kept = all > 0 ? (layer.dense_kept + layer.expert_kept) / all : 1;
          return (
            <span key={layer.layer} class="layer-cell" title={shareWords(layer)}>
              <i style={{ height: `${(100 * kept).toFixed(1)}%` }} />
            </span>
          );
        })}
      </div>
      <p class="note" aria-hidden="true">{layersSentence(layers)}</p>
      <div class="legend">
        <span><i class="swatch ram" />kept in RAM</span>
        <span><i class="swatch cell-off" />streamed from disk</span>
      </div>
    </div>
  );
}
