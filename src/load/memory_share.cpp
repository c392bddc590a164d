#include "load/memory_share.h"

#include <algorithm>
#include <numeric>

#include "placement/cost.h"
#include "placement/placement.h"
#include "residency/spread_order.h"

namespace hypura {

namespace {

constexpr uint32_t kFewestSlotsBelowGpu = 2;  // as placement/gpu_placement.cpp

// With no other choice than how much of each cache there is.
PlacementProblem as_opened(PlacementProblem problem, const Placement& opened) {
  problem.kv = {problem.kv_choice(opened)};
  problem.ubatch = {problem.ubatch_choice(opened)};
  problem.modes = {opened.mode()};
  problem.gpu.reset();
  problem.tables.may_stay = !opened.tables.streamed;
  problem.tables.may_stream = opened.tables.streamed;
  return problem;
}

uint32_t fewest_slots(const PlacementProblem& problem) {
  return std::min(kFewestSlotsBelowGpu, problem.expert_slots());
}

// What the caches of weights can give back of problem.budget.
uint64_t most_given(const PlacementProblem& problem, const Placement& opened) {
  if (opened.gpu) {
    const uint32_t slots = opened.experts.slots;
    return (slots - std::min(slots, fewest_slots(problem))) * problem.slot_stride;
  }
  if (opened.mode() == Mode::kResident) {
    return 0;
  }
  const uint64_t least = minimum_budget(as_opened(problem, opened), opened.mode());
  return problem.budget - std::min(problem.budget, least);
}

// Each layer's share of `kept` experts, in the proportions of `quotas`.
std::vector<uint32_t> scaled(const std::vector<uint32_t>& quotas, uint32_t kept) {
  const uint64_t all = std::accumulate(quotas.begin(), quotas.end(), uint64_t{0});
  std::vector<uint32_t> less;
  uint64_t before = 0;
  for (const uint32_t quota : quotas) {  // by the sums up to each, so that they add up
    const uint64_t up_to = before + quota;
    less.push_back(all == 0 ? 0 : static_cast<uint32_t>(up_to * kept / all - before * kept / all));
    before = up_to;
  }
  return less;
}

// At most so many slots.
void limit_slots(const PlacementProblem& problem, uint32_t slots, uint32_t spare, ExpertPlacement& experts) {
  const uint32_t all = std::accumulate(experts.layer_slots.begin(), experts.layer_slots.end(), 0U);
  experts.slots = slots;
  experts.spare_slots = std::min(spare, slots);
  experts.layer_slots = scaled(experts.layer_slots, std::min(all, slots - experts.spare_slots));
  experts.group_slots.assign(problem.experts.size(), 0);
  for (size_t layer = 0; layer < experts.layer_slots.size(); ++layer) {
    experts.group_slots[problem.layer_groups[layer]] += experts.layer_slots[layer];
  }
}

// Slots in RAM below those of a GPU.
Placement less_below_gpu(const PlacementProblem& problem, Placement placement, uint64_t given) {
  ExpertPlacement& experts = placement.experts;
  const uint64_t stride = std::max<uint64_t>(problem.slot_stride, 1);
  const auto fewer = static_cast<uint32_t>(std::min<uint64_t>((given + stride - 1) / stride, experts.slots));
  const uint32_t least = fewest_slots(problem);
  const uint32_t slots = std::max(experts.slots - fewer, std::min(least, experts.slots));
  const uint32_t spare =
      slots == experts.slots ? experts.spare_slots : std::clamp(problem.most_used(), least, std::max(least, slots / 2));
  limit_slots(problem, slots, spare, experts);
  return placement;
}

// Those of the opened ones that fit.
void limit_pinned(const PlacementProblem& problem, const DensePlacement& opened, DensePlacement& dense) {
  std::vector<uint64_t> sizes;
  for (const DenseWeight& it : problem.dense) {
    sizes.push_back(it.slot_bytes);
  }
  const uint64_t bytes = std::min(dense.pinned_bytes, opened.pinned_bytes);
  dense.pinned = first_that_fit(opened.pinned, sizes, bytes);
  dense.pinned_bytes = dense.streamed_bytes = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    (dense.pinned[i] ? dense.pinned_bytes : dense.streamed_bytes) +=
        dense.pinned[i] ? sizes[i] : problem.dense[i].bytes;
  }
}

Placement less(const PlacementProblem& problem, const Placement& opened, uint64_t given) {
  if (given == 0) {
    return opened;
  }
  if (opened.gpu) {
    return less_below_gpu(problem, opened, given);
  }
  PlacementProblem smaller = as_opened(problem, opened);
  smaller.budget -= std::min(smaller.budget, given);
  auto placed = place(smaller);
  if (!placed) {  // not within the range
    return opened;
  }
  Placement placement = std::move(*placed);
  if (placement.experts.slots > opened.experts.slots) {
    limit_slots(problem, opened.experts.slots, placement.experts.spare_slots, placement.experts);
  }
  if (placement.dense.streamed) {
    limit_pinned(problem, opened.dense, placement.dense);
  }
  return placement;
}

}  // namespace

MemoryRange memory_range(const PlacementProblem& problem, const Placement& opened, uint64_t budget, uint64_t kept,
                         const std::string& fixed) {
  MemoryRange range;
  range.most = budget;
  range.fixed = fixed;
  if (fixed.empty() && opened.mode() == Mode::kResident && !opened.gpu) {
    range.fixed = "all of its weights are resident, and are not streamed";
  }
  const uint64_t given = range.fixed.empty() ? most_given(problem, opened) : 0;
  range.least = budget - std::min(budget, given + kept);
  return range;
}

MemoryDivision divide_memory(const PlacementProblem& problem, const Placement& opened, const MemoryRange& range,
                             uint64_t kept, uint64_t bytes) {
  const uint64_t given = range.most - std::clamp(bytes, range.least, range.most);
  const auto share = static_cast<double>(given) / static_cast<double>(std::max<uint64_t>(range.most - range.least, 1));
  const auto of_kept = std::min(kept, static_cast<uint64_t>(share * static_cast<double>(kept)));
  const uint64_t of_weights = range.fixed.empty() ? std::min(given - of_kept, most_given(problem, opened)) : 0;
  const Placement placement = less(problem, opened, of_weights);
  return {placement.experts, placement.dense, kept - of_kept, pass_cost(problem, placement, 1).seconds};
}

}  // namespace hypura
