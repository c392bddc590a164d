// The part of StreamedWeights that takes memory out of the budget, gives it back to the system, and takes it again.
//
// A division is made where no slot is being computed with: compute() makes it before it begins a part of a graph and,
// without GPUs, between two batches of a layer's experts; resize() itself when no part is being computed. Whoever comes
// first. Who asks never waits for the lock of compute(): that lets go of it for a moment between two parts and takes it
// again, so that others were seen to wait for it through several layers.
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "backend/gpu/gpu_member.h"
#include "backend/remote_ffn.h"
#include "backend/streamed_weights.h"
#include "residency/tier_quotas.h"
#include "support/fail.h"
#include "support/log.h"
#include "tiers/dense_store.h"
#include "tiers/expert_store.h"
#include "tiers/slot_layout.h"

namespace hypura {

Status StreamedWeights::reserve(const Placement& placement, uint64_t repack_bytes, Budget& budget) {
  const DensePlacement& dense = placement.dense;
  const bool on_gpu = placement.gpu.has_value();
  const IdBytes buffers = on_gpu ? gpu_buffer_bytes(layout_, model_, placement.ubatch,
                                                    static_cast<uint32_t>(gpus_.size()), placement.gpu->mixed)
                                 : IdBytes{};
  const uint64_t rows = on_gpu && host_.end == 0 ? 0 : expert_buffer_bytes(layout_, placement.ubatch);
  struct Wanted {
    LedgerLine line;
    Reservation* kept = nullptr;  // where it may change later; it is made though it be of nothing
  };
  const Wanted wanted[] = {
      {{Purpose::kExpertSlots, on_gpu ? placement.gpu->slot_bytes : 0, {}, Tier::kDevice}},
      {{Purpose::kStaging, on_gpu ? placement.gpu->staging_bytes : 0, {}, Tier::kDevice}},
      {{Purpose::kExpertBuffers, buffers.on_device, {}, Tier::kDevice}},
      {{Purpose::kRepackBuffer, repack_bytes, {}, Tier::kRam}},
      {{Purpose::kExpertSlots, slot_bytes(placed_), {}, placed_.slots_on},
       placed_.streamed ? &slots_reserved_ : nullptr},
      {{Purpose::kExpertBuffers, buffers.in_ram + rows, {}, Tier::kRam}},
      {{Purpose::kPinnedWeights, dense.pinned_bytes, {}, dense.pinned_on},
       dense.streamed ? &pinned_reserved_ : nullptr},
      {{Purpose::kRing, dense.ring_bytes, {}, dense.slots_on}, dense.streamed ? &ring_reserved_ : nullptr},
      {{Purpose::kTableRows, table_buffer_bytes(layout_), {}, Tier::kRam}},
      {{Purpose::kWorkerMessages, worker_message_bytes(layout_), {}, Tier::kRam}},
  };
  for (const auto& [line, kept] : wanted) {
    if (line.bytes == 0 && kept == nullptr) {
      continue;
    }
    auto reservation = budget.reserve(line.purpose, line.tier, line.bytes);
    if (!reservation) {
      return propagate(reservation.error());
    }
    if (kept != nullptr) {
      *kept = std::move(*reservation);
    } else {
      reserved_.push_back(std::move(*reservation));
    }
  }
  return {};
}

std::string StreamedWeights::why_fixed() const {
  if (computes_in_ram()) {
    return "its slots are the GPU's, which computes in the machine's memory";
  }
  if (expert_store_ != nullptr && !expert_store_->resizes()) {
    return "its slots in RAM are memory that the GPU's driver has pinned";
  }
  return "";
}

uint64_t StreamedWeights::slot_bytes(const ExpertPlacement& experts) const {
  return experts.slots * SlotLayout(layout_.expert_layers).stride();
}

uint64_t StreamedWeights::cache_bytes() const {
  const std::lock_guard lock(resize_mutex_);
  return slots_reserved_.bytes() + pinned_reserved_.bytes() + ring_reserved_.bytes();
}

// In RAM; beside GPUs no more than what these do not have.
std::vector<uint32_t> StreamedWeights::quotas_of(const ExpertPlacement& experts) const {
  if (gpus_.empty()) {
    return experts.layer_slots;
  }
  std::vector<TierShare> shares;
  for (size_t i = 0; i < layout_.expert_layers.size(); ++i) {
    shares.push_back({layout_.expert_layers[i].experts, gpu_use_.layer_slots[i]});
  }
  return quotas_below(shares, experts.layer_slots, experts.slots - experts.spare_slots);
}

// With the locks of compute() and resize_mutex_. False when something is still held, which is given back as computing
// goes on.
Result<bool> StreamedWeights::try_resize(const Resize& wanted) {
  if (Status status = turn_to_processors(); !status) {
    return propagate(status.error());
  }
  if (expert_store_ != nullptr) {
    const ExpertPlacement& experts = wanted.experts;
    if (!expert_store_->resize({experts.slots, experts.spare_slots, quotas_of(experts)})) {
      return false;
    }
    placed_ = experts;
    slots_reserved_.correct(slot_bytes(experts));
  }
  if (dense_store_ != nullptr) {
    const DensePlacement& dense = wanted.dense;
    if (Status status = dense_store_->keep(dense.pinned, dense.ring_bytes); !status) {
      return propagate(status.error());
    }
    pinned_reserved_.correct(dense.pinned_bytes);
    ring_reserved_.correct(dense.ring_bytes);
    if (ffn_workers_ != nullptr) {
      ffn_workers_->divide_anew();
    }
  }
  prefetch_switch_ = PrefetchSwitch();  // what it measured was with another cache
  return true;
}

// With the locks of compute().
void StreamedWeights::apply_resize() {
  if (!resize_asked_) {
    return;
  }
  const std::lock_guard lock(resize_mutex_);
  const Result<bool> done = try_resize(resize_);
  if (!done || *done) {
    resized_ = done ? Status() : Status(tl::make_unexpected(done.error()));
    resize_asked_ = false;
    resize_made_.notify_all();
  }
}

void StreamedWeights::resize_if_idle() {
  if (std::try_lock(gpu_calls_, mutex_) == -1) {
    const std::scoped_lock lock(std::adopt_lock, gpu_calls_, mutex_);
    apply_resize();
  }
}

Status StreamedWeights::resize(const ExpertPlacement& experts, const DensePlacement& dense) {
  std::unique_lock lock(resize_mutex_);
  resize_ = {experts, dense};
  resize_asked_ = true;
  while (resize_asked_) {
    lock.unlock();
    resize_if_idle();
    lock.lock();
    resize_made_.wait_for(lock, std::chrono::milliseconds(1), [this] { return !resize_asked_; });
  }
  Status resized = resized_;
  lock.unlock();
  const uint32_t before = std::exchange(last_slots_, experts.slots);
  if (resized && experts.slots > before) {
    warm_again();
  }
  return resized;
}

// What has room again is read while nothing is computed. Beside a GPU it comes as it is used.
void StreamedWeights::warm_again() {
  if (expert_store_ == nullptr || !gpus_.empty()) {
    return;
  }
  stop_warming_ = true;
  if (warm_thread_.joinable()) {
    warm_thread_.join();
  }
  stop_warming_ = false;
  try {
    warm_thread_ = std::thread([this] { keep_warming(true); });
  } catch (const std::system_error& error) {
    logger().debug("nothing is read ahead of its use: cannot start a thread: {}", error.what());
  }
}

}  // namespace hypura
