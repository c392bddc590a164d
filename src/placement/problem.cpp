#include "placement/problem.h"

#include <algorithm>

namespace hypura {

const KvChoice& PlacementProblem::kv_choice(const Placement& placement) const {
  const auto it =
      std::find_if(kv.begin(), kv.end(), [&](const KvChoice& choice) { return choice.type == placement.kv_type; });
  return it == kv.end() ? kv.front() : *it;
}

const UbatchChoice& PlacementProblem::ubatch_choice(const Placement& placement) const {
  const auto it = std::find_if(ubatch.begin(), ubatch.end(),
                               [&](const UbatchChoice& choice) { return choice.tokens == placement.ubatch; });
  return it == ubatch.end() ? ubatch.front() : *it;
}

uint64_t PlacementProblem::dense_bytes() const {
  uint64_t sum = 0;
  for (const DenseWeight& it : dense) {
    sum += it.bytes;
  }
  return sum;
}

uint64_t PlacementProblem::dense_slot_bytes() const {
  uint64_t sum = 0;
  for (const DenseWeight& it : dense) {
    sum += it.slot_bytes;
  }
  return sum;
}

uint64_t PlacementProblem::largest_slot_bytes() const {
  uint64_t most = 0;
  for (const DenseWeight& it : dense) {
    most = std::max(most, it.slot_bytes);
  }
  return most;
}

uint32_t PlacementProblem::expert_slots() const {
  uint32_t sum = 0;
  for (const ExpertGroup& it : experts) {
    sum += it.layers * it.experts;
  }
  return sum;
}

uint32_t PlacementProblem::most_used() const {
  uint32_t most = 0;
  for (const ExpertGroup& it : experts) {
    most = std::max(most, it.used);
  }
  return most;
}

uint32_t PlacementProblem::slots_per_token() const {
  uint32_t sum = 0;
  for (const ExpertGroup& it : experts) {
    sum += it.layers * it.used;
  }
  return sum;
}

}  // namespace hypura
