// Which experts are chosen, from run to run: what StreamedWeights records, recalls and shows.
#include <algorithm>
#include <iterator>
#include <numeric>
#include <system_error>
#include <utility>

#include "backend/block_predictor.h"
#include "backend/expert_executor.h"
#include "backend/gpu/gpu_member.h"
#include "backend/streamed_weights.h"
#include "residency/hot_set.h"
#include "residency/routing_recorder.h"
#include "support/log.h"
#include "tiers/expert_store.h"

namespace hypura {

// Of the layers that the processors compute: no other's weights are here.
void StreamedWeights::ask_routers() {
  if (experts_ == nullptr || placed_.spare_slots == 0) {
    return;
  }
  predictor_ = make_router_predictor(layout_, *inner_, [this](const std::string& name) {
    const auto it = resident_by_name_.find(name);
    return it == resident_by_name_.end() ? nullptr : it->second;
  });
}

void StreamedWeights::record_routing(uint64_t tokens, bool every_layer) {
  if (!streams_experts() || layout_.experts >= RoutingTrace::kNone) {
    return;
  }
  RoutingTrace shape;
  shape.model = model_.name;
  shape.layers = static_cast<uint32_t>(layout_.expert_layers.size());
  shape.experts = layout_.experts;
  shape.used = static_cast<uint32_t>(model_.experts_used);
  shape.slots = std::accumulate(gpu_use_.layer_slots.begin(), gpu_use_.layer_slots.end(), placed_.slots);
  shape.spare = placed_.spare_slots;
  shape.earlier = recalled_tokens_;
  const std::lock_guard lock(mutex_);
  recorder_ = std::make_unique<RoutingRecorder>(std::move(shape), tokens);
  for (const auto& gpu : gpus_) {
    gpu->experts->record(recorder_.get(), every_layer);
  }
  if (experts_ != nullptr) {
    experts_->record(recorder_.get());
  }
}

void StreamedWeights::recall(const RoutingTrace& trace) {
  if (!streams_experts() || trace.layers != layout_.expert_layers.size() || trace.experts != layout_.experts) {
    return;
  }
  const std::lock_guard lock(mutex_);
  if (gpus_.empty()) {
    expert_store_->recall(trace);
    if (layout_.workers > 0) {
      recalled_hot_ = hot_set(trace, std::vector<uint32_t>(trace.layers, trace.experts));
      warm_workers();
    }
  } else {
    if (expert_store_ != nullptr) {
      expert_store_->learn(trace);  // and by that all tiers, which rank experts together
      hot_below_ = hot_set(trace, expert_store_->quotas(), gpu_use_.layer_slots);
    }
    for (const auto& gpu : gpus_) {
      gpu->experts->recall(trace);
    }
  }
  if (predictor_ != nullptr) {
    predictor_->recall(trace);
  }
  recalled_tokens_ = trace.tokens();
}

void StreamedWeights::warm_up() {
  if (recalled_tokens_ == 0 && gpus_.empty()) {
    return;
  }
  try {
    warm_thread_ = std::thread([this] { keep_warming(); });
  } catch (const std::system_error& error) {
    logger().debug("no warm start: cannot start a thread: {}", error.what());
  }
}

// Before the first pass nobody else enters the reader. When that has begun the thread ends, and takes no core from
// ggml's; it does not wait for a layer to be computed, since who has it stopped waits for it. `again`: what is to be
// warmed is found out first.
void StreamedWeights::keep_warming(bool again) {
  const auto step = [this, &again] {
    if (gpus_.empty()) {
      const std::unique_lock lock(mutex_, std::try_to_lock);
      if (lock && std::exchange(again, false)) {
        expert_store_->warm_again();
      }
      return !lock || expert_store_->warm();
    }
    const std::scoped_lock lock(gpu_calls_, mutex_);
    return warm_gpus().value_or(false);  // who asks for what could not be brought will be told
  };
  while (!closing_ && !stop_warming_ && step()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void StreamedWeights::warm(std::span<const LayerExpert> hot) {
  if (expert_store_ == nullptr || !gpus_.empty()) {
    return;
  }
  stop_warming_ = true;
  if (warm_thread_.joinable()) {
    warm_thread_.join();
  }
  stop_warming_ = false;
  {
    const std::lock_guard lock(mutex_);
    std::vector<uint32_t> room = expert_store_->quotas();
    std::vector<LayerExpert> wanted;
    std::ranges::copy_if(hot, std::back_inserter(wanted),
                         [&](const LayerExpert& it) { return room[it.layer] > 0 && room[it.layer]-- > 0; });
    expert_store_->warm_with(wanted);
  }
  try {
    warm_thread_ = std::thread([this] { keep_warming(); });
  } catch (const std::system_error& error) {
    logger().debug("nothing is read ahead of its use: cannot start a thread: {}", error.what());
  }
}

void StreamedWeights::resident_map(uint32_t layer, std::span<std::byte> bits) const {
  std::ranges::fill(bits, std::byte{0});
  const std::lock_guard lock(mutex_);
  for (uint32_t expert = 0; expert < layout_.expert_layers[layer].experts; ++expert) {
    if (expert_store_ != nullptr && expert_store_->resident(layer, expert)) {
      bits[expert / 8] |= std::byte{1} << (expert % 8);
    }
  }
}

RoutingTrace StreamedWeights::routing() const {
  const std::lock_guard lock(mutex_);
  return recorder_ == nullptr ? RoutingTrace() : recorder_->trace();
}

std::vector<ExpertsOfLayer> StreamedWeights::experts(uint64_t tokens) const {
  std::vector<ExpertsOfLayer> all;
  if (!streams_experts()) {
    return all;
  }
  const std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < layout_.expert_layers.size(); ++i) {
    const ExpertLayer& layer = layout_.expert_layers[i];
    ExpertsOfLayer& it = all.emplace_back();
    it.layer = layer.layer;
    for (uint32_t expert = 0; expert < layer.experts; ++expert) {
      it.resident.push_back(expert_store_ != nullptr && expert_store_->resident(i, expert));
      it.on_gpu.push_back(
          std::ranges::any_of(gpus_, [&](const auto& gpu) { return gpu->experts->resident(i, expert); }));
    }
    if (recorder_ != nullptr) {
      it.used = recorder_->uses(i, tokens);
      it.used.resize(layer.experts);
    }
  }
  return all;
}

}  // namespace hypura
