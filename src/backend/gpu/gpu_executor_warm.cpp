// What is brought before the first graph, and what graphs leave behind for later runs.
#include <algorithm>

#include "backend/gpu/gpu_executor.h"
#include "backend/gpu/prefetch/read_prefetch.h"
#include "backend/gpu/prefetch/upload_prefetch.h"
#include "residency/hot_set.h"
#include "support/fail.h"

namespace hypura {

void GpuExecutor::predict_by(BlockPredictor* predictor, bool copies) {
  predictor_ = predictor;
  if (predictor == nullptr || prefetch_ != nullptr) {
    return;
  }
  if (below_ != nullptr) {
    prefetch_ = std::make_unique<UploadPrefetch>(
        UploadPrefetch::Parts{layers_, device_, *store_, *below_, copies ? staging_.get() : nullptr, stats_});
  } else if (staging_ != nullptr) {
    prefetch_ = std::make_unique<ReadPrefetch>(*reads_, *store_, *staging_, stats_);
  } else {
    predictor_ = nullptr;  // there is no place for what would come
    return;
  }
  slots_->prefetch_by(prefetch_.get());
  found_in_ = 0;  // the next graph is looked at
}

void GpuExecutor::record(RoutingRecorder* recorder, bool all) {
  recorder_ = recorder;
  looks_at_all_ = recorder != nullptr && all;
}

Status GpuExecutor::settle() {
  if (lost_) {
    return propagate(*lost_);
  }
  try {
    source_->settle();
    if (prefetch_ != nullptr) {
      prefetch_->settle();
    }
  } catch (const std::exception& error) {
    return note_lost(error);
  }
  return {};
}

bool GpuExecutor::resident(uint32_t layer, uint32_t expert) const {
  return holds_all(layer) ? expert < device_layers_[layer].filled : store_->resident(layer, expert);
}

// The hottest experts of a layer go to its slots. Layers with slots for all get all.
void GpuExecutor::recall(const RoutingTrace& trace) {
  if (below_ == nullptr) {
    store_->learn(trace);
  }
  std::vector<uint32_t> slots = store_->quotas();
  for (uint32_t layer = 0; layer < slots.size(); ++layer) {
    slots[layer] = holds_all(layer) ? 0 : slots[layer];
  }
  hot_ = hot_set(trace, slots);
}

bool GpuExecutor::warm() {
  Result<bool> left = false;
  if (warming_) {
    try {
      left = warm_some();
    } catch (const std::exception& error) {
      note_lost(error);
    }
  }
  warming_ = left && *left;  // who asks for what could not be brought will be told
  return warming_;
}

// Whether something is left.
Result<bool> GpuExecutor::warm_some() {
  for (uint32_t layer = 0; layer < device_layers_.size(); ++layer) {
    if (holds_all(layer) && device_layers_[layer].filled < device_layers_[layer].slots) {
      return fill_whole(layer, ExpertStore::kMostWarmBytes).map([] { return true; });
    }
  }
  if (!hot_.empty()) {
    return warm_slots().map([] { return true; });
  }
  return false;
}

// As many of the layer of the hottest as are brought together.
Status GpuExecutor::warm_slots() {
  const uint32_t layer = hot_.front().layer;
  const uint64_t bytes = layers_[layer].expert_bytes();
  const uint64_t most = std::max<uint64_t>(1, ExpertStore::kMostWarmBytes / bytes);
  wanted_.clear();
  std::erase_if(hot_, [&](const LayerExpert& it) {
    const bool now = it.layer == layer && wanted_.size() < most;
    if (now) {
      wanted_.push_back(it.expert);
    }
    return now;
  });
  std::ranges::sort(wanted_);
  store_->acquire(layer, {{}, 1, false}, wanted_);
  Status status;
  for (size_t lease = store_->hits(); status && lease < wanted_.size(); ++lease) {
    status = store_->wait(lease);
    stats_.warmed += status ? 1 : 0;
    stats_.warm_bytes += status ? bytes : 0;
  }
  store_->finish();
  return status;
}

}  // namespace hypura
