// The dense weights of the layers that the processors compute beside GPUs with slots (GpuHostLayers): all in RAM, or
// some pinned there and the others passing through a ring, as without a GPU.
#pragma once

#include <cstdint>
#include <span>

#include "placement/cost.h"

namespace hypura {

// Those that can be streamed: the first of PlacementProblem::dense.
std::span<const DenseWeight> host_dense(const PlacementProblem& problem);

// What stays in RAM of those layers in any case: `ring`: without those, else with them.
uint64_t host_weight_bytes(const PlacementProblem& problem, bool ring);

// The least ring that they can pass through.
uint64_t least_host_ring(const PlacementProblem& problem);

// Which of them are pinned in `bytes` beyond the least ring, a part of which makes the ring larger.
DensePlacement divide_host_dense(const PlacementProblem& problem, uint64_t bytes);

// Adds to a pass, of which the devices take `on_devices` seconds, what those that pass through the ring take.
void add_host_ring(const PlacementProblem& problem, const DensePlacement& dense, double on_devices, PassCost& cost);

}  // namespace hypura
