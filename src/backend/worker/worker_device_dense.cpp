// The part of WorkerDevice that computes feed-forward parts of a dense model, and keeps those that it is told to.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "backend/worker/worker_device.h"
#include "support/fail.h"
#include "tiers/direct_place.h"

namespace hypura {

void WorkerDevice::keep(std::span<const LayerExpert> wanted) {
  kept_.clear();
  std::vector<bool> seen(names_.layers().size());
  for (const LayerExpert& it : wanted) {
    if (!seen[it.layer]) {
      seen[it.layer] = true;
      std::ranges::copy(names_.layers()[it.layer].items, std::back_inserter(kept_));
    }
  }
  keep_items();
}

// What was said to stay, where nothing is divided with slots for experts.
void WorkerDevice::keep_items() {
  uint64_t bytes = 0;
  for (const uint32_t item : kept_) {
    bytes += place_capacity(weights_.layout().dense[item].extent.length);
  }
  const uint64_t room = whole_layers() ? facts_.peer_memory - memory_.bytes() : most_room_;
  if (bytes > room_ && room > room_) {  // another connection had more memory
    take_room(room);
  } else {
    weights_.keep_dense(kept_);
  }
}

// All of a layer's feed-forward part.
bool WorkerDevice::is_here(uint32_t layer) const {
  uint64_t bytes = 0;
  for (const TensorInfo* part : names_.layers()[layer].parts) {
    bytes += part->extent.length;
  }
  return weights_.pinned_bytes(names_.layers()[layer].items) == bytes;
}

// All rows together, as llama.cpp has them. Kernels read them where they lie: a peer's address may be any.
Status WorkerDevice::compute_dense(const BlockPlan& plan, const Ask& ask) {
  context_.reset(ggml_init({tensor_memory_.size(), tensor_memory_.data(), true}));
  ggml_context* ctx = context_.get();
  const int64_t count = ask.pairs;
  floats_used_ = 0;
  ggml_tensor* rows = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, plan.ask_width, count);
  rows->data = std::memcpy(take_floats(plan.ask_width * count), plan.ask.data() + ask_rows_offset(plan.most_pairs),
                           ggml_nbytes(rows));
  std::vector<ggml_tensor*> made;
  const auto source = [&](const PlannedSource& it) {
    if (it.node == PlannedSource::kAsk) {
      return rows;
    }
    ggml_tensor* base = made[it.node];
    return it.width == base->ne[0] ? base : ggml_view_2d(ctx, base, it.width, count, base->nb[1], it.offset);
  };
  for (const PlannedNode& it : plan.nodes) {
    ggml_tensor* node = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, it.width, count);
    const bool product = it.weight != nullptr;
    node->op = it.op;
    std::memcpy(node->op_params, it.params.data(), sizeof(node->op_params));
    node->data = take_floats(it.width * count);
    for (uint32_t i = 0; i < it.source_count; ++i) {
      node->src[product ? 1 : i] = source(it.sources[i]);
    }
    if (product) {
      node->src[0] = it.weight;
    }
    made.push_back(node);
  }
  ggml_cgraph* graph = ggml_new_graph_custom(ctx, kMostTensors, false);
  ggml_build_forward_expand(graph, made.back());
  if (weights_.compute(graph) != GGML_STATUS_SUCCESS) {
    Error error = weights_.take_error();
    error.code = error.code == ErrorCode::kUsage ? ErrorCode::kInternal : error.code;
    return propagate(std::move(error));
  }
  std::memcpy(plan.reply.data() + reply_rows_offset(1), made.back()->data, ggml_nbytes(made.back()));
  return {};
}

}  // namespace hypura
