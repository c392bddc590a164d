#include "backend/gpu/expert_waves.h"

#include <algorithm>
#include <cstring>

#include "backend/gpu/device_memory.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kWaveNodes = 256;
// Devices compute up to so many rows by other kernels than from so many on: a wave stays on the side of them that the
// block is on. CUDA's, and Metal's: it multiplies matrices from 32 rows on.
struct RowClasses {
  size_t few = 8;
  size_t many = 16;
};
constexpr RowClasses kMetalRows = {31, 32};

RowClasses row_classes(const GpuDevice& device) {
  return device.computes_in_ram() ? kMetalRows : RowClasses();
}

ggml_context_ptr graph_context() {
  return ggml_context_ptr(
      ggml_init({kWaveNodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(kWaveNodes, false), nullptr, true}));
}

ggml_tensor* outside(ggml_context* context, const ggml_tensor& original, int64_t ne0, int64_t rows) {
  ggml_tensor* tensor = ggml_new_tensor_2d(context, original.type, ne0, rows);
  tensor->data = original.data;
  tensor->buffer = buffer_of(original);
  return tensor;
}

}  // namespace

ExpertWaves::ExpertWaves(GpuDevice& device, DeviceSlots& slots, ExpertStore& store)
    : device_(device), slots_(slots), store_(store) {
  ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(device.stream());
  kept_places_.reset(ggml_gallocr_new(type));
  places_.reset(ggml_gallocr_new(type));
}

Status ExpertWaves::run(const ExpertBlock& block, std::span<const uint16_t> routed, bool decode) {
  if (Status status = keep_inputs(block); !status) {
    return status;
  }
  store_.acquire(block.layer, {routed, static_cast<uint32_t>(block.used()), decode}, {});  // the cache hears it once
  store_.finish();
  for (const Wave& wave : divide(block, routed)) {
    Status status = bring(block, wave, decode);
    if (status) {
      status = compute(block, wave);
    }
    store_.finish();
    if (!status) {
      return status;
    }
  }
  return {};
}

// What is in slots comes first, before it is evicted for what is not.
std::vector<ExpertWaves::Wave> ExpertWaves::divide(const ExpertBlock& block, std::span<const uint16_t> routed) const {
  std::vector<std::vector<int32_t>> pairs;
  for (size_t pair = 0; pair < routed.size(); ++pair) {
    pairs.resize(std::max<size_t>(pairs.size(), routed[pair] + size_t{1}));
    pairs[routed[pair]].push_back(static_cast<int32_t>(pair));
  }
  std::vector<uint32_t> order;
  for (uint32_t expert = 0; expert < pairs.size(); ++expert) {
    if (!pairs[expert].empty()) {
      order.push_back(expert);
    }
  }
  std::stable_partition(order.begin(), order.end(),
                        [&](uint32_t expert) { return store_.resident(block.layer, expert); });
  const auto slots = static_cast<size_t>(slots_.matrices(block.layer).front()->ne[2]);
  const RowClasses rows = row_classes(device_);
  const bool few = static_cast<size_t>(block.tokens()) <= rows.few;
  std::vector<Wave> waves;
  for (const uint32_t expert : order) {
    const bool full = waves.empty() || waves.back().experts.size() == slots ||
                      (few && waves.back().pairs.size() + pairs[expert].size() > rows.few);
    Wave& wave = full ? waves.emplace_back() : waves.back();
    wave.experts.push_back(expert);
    wave.pairs.insert(wave.pairs.end(), pairs[expert].begin(), pairs[expert].end());
    wave.chosen.insert(wave.chosen.end(), pairs[expert].size(), static_cast<int32_t>(expert));
  }
  for (Wave& wave : waves) {
    std::ranges::sort(wave.experts);
    while (!few && wave.pairs.size() < rows.many) {  // the last row once more
      wave.pairs.push_back(wave.pairs.back());
      wave.chosen.push_back(wave.chosen.back());
    }
  }
  return waves;
}

Status ExpertWaves::keep_inputs(const ExpertBlock& block) {
  kept_.clear();
  inputs_.clear();
  kept_context_ = graph_context();
  ggml_cgraph* graph = ggml_new_graph_custom(kept_context_.get(), kWaveNodes, false);
  for (const BlockNode& it : block.nodes) {
    const ggml_tensor* source = it.node->src[1];
    if (it.weight == nullptr || block_result(block, source) != nullptr || kept_.contains(source)) {
      continue;
    }
    ggml_tensor* same = ggml_dup_tensor(kept_context_.get(), source);
    std::memcpy(same->nb, source->nb, sizeof same->nb);
    same->data = source->data;
    same->buffer = buffer_of(*source);
    ggml_tensor* copy = ggml_cont(kept_context_.get(), same);
    ggml_set_output(copy);
    ggml_build_forward_expand(graph, copy);
    kept_[source] = copy;
  }
  return finish(kept_places_.get(), graph);
}

Status ExpertWaves::bring(const ExpertBlock& block, const Wave& wave, bool decode) {
  slots_.set_decode(decode);
  store_.acquire(block.layer, {{}, 1, decode}, wave.experts);
  for (size_t lease = store_.hits(); lease < store_.leases().size(); ++lease) {
    if (Status status = store_.wait(lease); !status) {
      return status;
    }
  }
  return {};
}

Status ExpertWaves::compute(const ExpertBlock& block, const Wave& wave) {
  context_ = graph_context();
  rows_.clear();
  gathered_.clear();
  inputs_.clear();
  std::vector<int32_t> tokens;
  std::vector<int32_t> slots;
  for (size_t i = 0; i < wave.pairs.size(); ++i) {
    tokens.push_back(wave.pairs[i] / static_cast<int32_t>(block.used()));
    slots.push_back(static_cast<int32_t>(*store_.slot_of(block.layer, static_cast<uint32_t>(wave.chosen[i]))));
  }
  tokens_ = numbers(std::move(tokens));
  pairs_ = numbers(wave.pairs);
  const auto row_ids = [&](std::vector<int32_t> values) {
    const auto count = static_cast<int64_t>(values.size());
    return ggml_reshape_2d(context_.get(), numbers(std::move(values)), 1, count);
  };
  slot_ids_ = row_ids(std::move(slots));
  expert_ids_ = row_ids(wave.chosen);
  ggml_cgraph* graph = ggml_new_graph_custom(context_.get(), kWaveNodes, false);
  for (const BlockNode& it : block.nodes) {
    ggml_tensor* rows = add_node(block, it);
    rows_[it.node] = rows;
    ggml_build_forward_expand(graph, it.scatter ? scattered(it.node) : rows);
  }
  return finish(places_.get(), graph);
}

// The node for the wave's rows alone: [ne0, 1, rows].
ggml_tensor* ExpertWaves::add_node(const ExpertBlock& block, const BlockNode& it) {
  ggml_context* context = context_.get();
  if (it.weight != nullptr) {
    ggml_tensor* input = block_result(block, it.node->src[1]) != nullptr ? row_source(block, it.node->src[1])
                                                                         : gathered(block, it.node->src[1]);
    return ggml_mul_mat_id(context, slots_.matrices(block.layer)[it.weight->part], input, slot_ids_);
  }
  ggml_tensor* rows = ggml_new_tensor_3d(context, it.node->type, it.node->ne[0], 1, pairs_->ne[0]);
  rows->op = it.node->op;
  std::memcpy(rows->op_params, it.node->op_params, sizeof rows->op_params);
  for (size_t i = 0; i < std::size(rows->src); ++i) {
    rows->src[i] = it.node->src[i] == nullptr ? nullptr : row_source(block, it.node->src[i]);
  }
  return rows;
}

// The rows of a kept input: one for each token, or one for each pair.
ggml_tensor* ExpertWaves::gathered(const ExpertBlock& block, const ggml_tensor* source) {
  ggml_tensor*& rows = gathered_[source];
  if (rows == nullptr) {
    const ggml_tensor& kept = *kept_.at(source);
    ggml_tensor* all = outside(context_.get(), kept, kept.ne[0], kept.ne[1] * kept.ne[2]);
    const bool by_token = kept.ne[1] == 1 && block.used() > 1;
    rows = ggml_get_rows(context_.get(), all, by_token ? tokens_ : pairs_);
    rows = ggml_reshape_3d(context_.get(), rows, rows->ne[0], 1, rows->ne[1]);
  }
  return rows;
}

// What the wave has for a source: its rows of the block's own result or of a stretch of each, its experts, or itself.
ggml_tensor* ExpertWaves::row_source(const ExpertBlock& block, ggml_tensor* source) {
  if (source == block.ids) {
    return expert_ids_;
  }
  const ggml_tensor* base = block_result(block, source);
  if (base == nullptr) {
    return source;
  }
  ggml_tensor* rows = rows_.at(base);
  return source == base ? rows
                        : ggml_view_3d(context_.get(), rows, source->ne[0], 1, rows->ne[2], rows->nb[1], rows->nb[2],
                                       source->view_offs);
}

ggml_tensor* ExpertWaves::scattered(const ggml_tensor* node) {
  ggml_context* context = context_.get();
  ggml_tensor* all = outside(context, *node, node->ne[0], node->ne[1] * node->ne[2]);
  ggml_tensor* rows = rows_.at(node);
  return ggml_set_rows(context, all, ggml_reshape_2d(context, rows, rows->ne[0], rows->ne[2]), pairs_);
}

ggml_tensor* ExpertWaves::numbers(std::vector<int32_t> values) {
  ggml_tensor* tensor = ggml_new_tensor_1d(context_.get(), GGML_TYPE_I32, static_cast<int64_t>(values.size()));
  ggml_set_input(tensor);
  inputs_.emplace_back(tensor, std::move(values));
  return tensor;
}

// Computes the graph, and waits: its memory is used again.
Status ExpertWaves::finish(ggml_gallocr_t places, ggml_cgraph* graph) {
  ggml_backend_synchronize(device_.stream());
  if (!ggml_gallocr_alloc_graph(places, graph)) {
    return fail(ErrorCode::kBudget, "{} has no memory left for the rows of a wave of experts",
                ggml_backend_dev_name(device_.inner()));
  }
  for (const auto& [tensor, values] : inputs_) {
    if (tensor->buffer != nullptr) {  // one that no node uses has no place
      ggml_backend_tensor_set(tensor, values.data(), 0, values.size() * sizeof(int32_t));
    }
  }
  inputs_.clear();
  if (ggml_backend_graph_compute(device_.stream(), graph) != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute a wave of experts on {}",
                ggml_backend_dev_name(device_.inner()));
  }
  return {};
}

}  // namespace hypura
