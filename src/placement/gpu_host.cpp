#include "placement/gpu_host.h"

#include <algorithm>
#include <vector>

#include "placement/pinning.h"

namespace hypura {

namespace {

uint64_t slot_bytes_of(std::span<const DenseWeight> weights) {
  uint64_t bytes = 0;
  for (const DenseWeight& it : weights) {
    bytes += it.slot_bytes;
  }
  return bytes;
}

}  // namespace

std::span<const DenseWeight> host_dense(const PlacementProblem& problem) {
  return std::span(problem.dense).first(std::min(problem.gpu->host.end_dense, problem.dense.size()));
}

uint64_t host_weight_bytes(const PlacementProblem& problem, bool ring) {
  uint64_t bytes = problem.gpu->host.weights;
  for (const DenseWeight& it : host_dense(problem)) {
    bytes -= ring ? it.bytes : 0;
  }
  return bytes;
}

uint64_t least_host_ring(const PlacementProblem& problem) {
  uint64_t largest = 0;
  for (const DenseWeight& it : host_dense(problem)) {
    largest = std::max(largest, it.slot_bytes);
  }
  return std::min(2 * largest, slot_bytes_of(host_dense(problem)));
}

DensePlacement divide_host_dense(const PlacementProblem& problem, uint64_t bytes) {
  DensePlacement dense;
  dense.streamed = true;
  const uint64_t least = least_host_ring(problem);
  const uint64_t ahead = std::min(kRingAhead, bytes / 4);
  std::vector<uint64_t> sizes;
  for (const DenseWeight& it : host_dense(problem)) {
    sizes.push_back(it.slot_bytes);
  }
  const bool all = slot_bytes_of(host_dense(problem)) <= least + bytes;
  dense.pinned = all ? std::vector<bool>(sizes.size(), true) : choose_pinned(sizes, bytes - ahead);
  for (size_t i = 0; i < sizes.size(); ++i) {
    dense.pinned_bytes += dense.pinned[i] ? sizes[i] : 0;
    dense.streamed_bytes += dense.pinned[i] ? 0 : problem.dense[i].bytes;
  }
  dense.ring_bytes = all ? 0 : least + ahead;
  return dense;
}

// While the devices compute the disk goes on until the ring is full, and then rests.
void add_host_ring(const PlacementProblem& problem, const DensePlacement& dense, double on_devices, PassCost& cost) {
  const auto bytes = static_cast<double>(dense.streamed_bytes);
  if (bytes == 0) {
    return;
  }
  const double reading = bytes * dense_byte_seconds(problem, dense.ring_bytes);
  const double filling = static_cast<double>(dense.ring_bytes) / problem.dense_disk.bytes_per_second;
  const double rests = std::max(0.0, on_devices - filling);
  cost.processors += problem.dense_issuing * bytes;
  cost.seconds += problem.dense_issuing * bytes + problem.contention.computing * reading;
  cost.seconds = std::max(cost.seconds, reading + cost.reading + rests + problem.contention.reading * cost.processors);
  cost.bytes += bytes;
  cost.reading += reading;
}

}  // namespace hypura
