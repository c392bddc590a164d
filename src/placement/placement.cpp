#include "placement/placement.h"

#include <algorithm>

#include "support/units.h"

namespace hypura {

namespace {

// One expert is computed while the next is read.
constexpr uint32_t kMinSlots = 2;
// Beyond two of the largest tensors: bytes that keep the disk busy while a pinned tensor is computed. Chosen, not
// measured: at 2 GB/s the disk fills them in 32 ms.
constexpr uint64_t kRingAhead = 64 * kMiB;

uint64_t min_ring(const PlacementInput& input) {
  return std::min(2 * input.largest_room, input.dense);
}

uint64_t min_slot_bytes(const PlacementInput& input) {
  return std::min(kMinSlots, input.expert_slots) * input.slot_stride;
}

bool streams_dense(Mode mode) {
  return mode == Mode::kDenseStreaming || mode == Mode::kMixedStreaming;
}
bool streams_experts(Mode mode) {
  return mode == Mode::kExpertStreaming || mode == Mode::kMixedStreaming;
}

}  // namespace

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kResident:
      return "resident";
    case Mode::kExpertStreaming:
      return "expert-streaming";
    case Mode::kDenseStreaming:
      return "dense-streaming";
    case Mode::kMixedStreaming:
      return "mixed-streaming";
  }
  return "unknown";
}

uint64_t minimum_budget(const PlacementInput& input, Mode mode) {
  return input.fixed + input.runtime + (streams_dense(mode) ? min_ring(input) : input.dense) +
         (streams_experts(mode) ? min_slot_bytes(input) : input.experts);
}

std::vector<Mode> feasible_modes(const PlacementInput& input) {
  std::vector<Mode> modes = {Mode::kResident};
  if (input.experts > 0) {
    modes.push_back(Mode::kExpertStreaming);
    if (input.dense > 0) {
      modes.push_back(Mode::kMixedStreaming);
    }
  } else if (input.dense > 0) {
    modes.push_back(Mode::kDenseStreaming);
  }
  modes.erase(
      std::remove_if(modes.begin(), modes.end(), [&](Mode mode) { return minimum_budget(input, mode) > input.budget; }),
      modes.end());
  return modes;
}

uint64_t minimum_budget(const PlacementInput& input) {
  return input.experts > 0 ? minimum_budget(input, Mode::kMixedStreaming)
                           : minimum_budget(input, Mode::kDenseStreaming);
}

Result<Placement> place(const PlacementInput& input, Mode mode) {
  const uint64_t least = minimum_budget(input, mode);
  if (least > input.budget) {
    return fail(ErrorCode::kBudget, "a budget of {} cannot hold the model in mode {}: it needs {}",
                format_bytes(input.budget), mode_name(mode), format_bytes(least));
  }
  Placement placement;
  placement.mode = mode;
  uint64_t left = input.budget - least;
  if (streams_dense(mode)) {
    placement.ring_bytes = min_ring(input);
    if (placement.ring_bytes + left >= input.dense) {
      placement.pinned_bytes = input.dense;  // all of it after all: no ring
      left -= input.dense - placement.ring_bytes;
      placement.ring_bytes = 0;
    } else {
      const uint64_t ahead = std::min(kRingAhead, left / 4);
      placement.ring_bytes += ahead;
      placement.pinned_bytes = left - ahead;
      left = 0;
    }
  }
  if (streams_experts(mode)) {
    const uint64_t slots = (min_slot_bytes(input) + left) / input.slot_stride;
    placement.slots = static_cast<uint32_t>(std::min<uint64_t>(slots, input.expert_slots));
    placement.spare_slots = std::min(placement.slots, std::max(input.experts_used, kMinSlots));
  }
  return placement;
}

}  // namespace hypura
