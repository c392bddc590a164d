#include "placement/problem.h"

#include <algorithm>

namespace hypura {

uint64_t GpuProblem::budget() const {
  uint64_t bytes = 0;
  for (const GpuPart& device : devices) {
    bytes += device.layers > 0 ? device.budget : 0;
  }
  return bytes;
}

uint64_t GpuProblem::weights() const {
  uint64_t bytes = 0;
  for (const GpuPart& device : devices) {
    bytes += device.weights;
  }
  return bytes;
}

uint64_t GpuProblem::host_kv(KvType type) const {
  const auto it = std::ranges::find(kv, type, &KvChoice::type);
  return host.layers > 0 && it != kv.end() ? host.kv[static_cast<size_t>(it - kv.begin())] : 0;
}

uint32_t GpuProblem::used() const {
  return static_cast<uint32_t>(std::ranges::count_if(devices, [](const GpuPart& it) { return it.layers > 0; }));
}

const KvChoice& PlacementProblem::kv_choice(const Placement& placement) const {
  const std::vector<KvChoice>& all = placement.gpu && gpu ? gpu->kv : kv;
  const auto it = std::ranges::find(all, placement.kv_type, &KvChoice::type);
  return it == all.end() ? all.front() : *it;
}

const UbatchChoice& PlacementProblem::ubatch_choice(const Placement& placement) const {
  const std::vector<UbatchChoice>& all = placement.gpu && gpu ? gpu->ubatch : ubatch;
  const auto it = std::ranges::find(all, placement.ubatch, &UbatchChoice::tokens);
  return it == all.end() ? all.front() : *it;
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
