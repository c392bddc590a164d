// What a placement on a GPU costs in time and memory: the model of docs/design/gpu.md.
//
// While decoding, a layer that is cut costs its computing, the cut, the copies of what has no slot on the device, and
// the reads of what is not in RAM either, one after the other. In a prompt the whole layer passes through the device:
// it takes as long as the longest of computing, copying and reading, which go on beside each other.
//
// With mixed computing nothing is copied while decoding: the processors compute what has no slot, once it is in RAM,
// while the device computes the rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/cost.h"
#include "placement/problem.h"

namespace hypura {

// The prompt that a GPU's placement is chosen by: long enough for the largest passes.
inline constexpr uint32_t kGpuPromptTokens = 4096;

// Tokens read for each that is made. Chosen: a coding agent's turn reads files and results of some thousand tokens for
// an answer of some hundred.
inline constexpr double kGpuPromptShare = 16;

// Choices for each expert of a layer from which on all of the layer is brought, unseen (backend/gpu/gpu_executor.h).
inline constexpr uint32_t kGpuChoicesForAll = 2;

// By number q of experts: of those that a pass of `tokens` tokens uses, how many are expected not to be among the q
// most used. popularity.size() + 1 numbers.
std::vector<double> expected_misses(std::span<const double> popularity, uint32_t tokens);

// Of those, how many are expected to be missing from so many slots of one layer through which all that is used passes,
// as on a device: whatever a pass used has overwritten something, and only what is left holds the most used. `misses`:
// expected_misses(). Found right to 0.01 of the hits, simulated (docs/lab/experiments.md).
double misses_of_passing(std::span<const double> misses, uint32_t slots);

// A layer's experts in a pass.
struct GpuLayer {
  size_t group = 0;        // of PlacementProblem::experts
  uint32_t on_device = 0;  // experts with a slot there
  uint32_t in_ram = 0;     // experts kept in RAM, counted from those that the device does not have
  uint32_t borrowed = 0;   // further slots there, while nothing passes through
  bool stages = true;      // as GpuPlacement
  bool mixed = false;      // the same
};

// Tokens of a pass, at most, in which the processors compute a part of a layer (backend/gpu/cpu_experts.h).
inline constexpr uint32_t kMixedTokens = 16;

// By `speeds`, of one of problem.gpu. `misses`: expected_misses() of the group for that many tokens. `beside`:
// computing of the layer that is not its experts'; it hides copies, and is not part of the result.
PassCost gpu_layer_cost(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer,
                        uint32_t tokens, std::span<const double> misses, double beside);

// By layer of `device`, of all of problem.layer_groups: how many slots it borrows beside so many of its own; none where
// nothing `stages`.
std::vector<uint32_t> gpu_borrowed_slots(const PlacementProblem& problem, const GpuPart& device,
                                         std::span<const uint32_t> layer_slots, bool stages);

// Seconds of computing in a pass of everything but experts that are streamed.
double gpu_dense_computing(const GpuSpeeds& speeds, uint32_t tokens);

// As pass_cost(), of a placement with a GPU; problem.gpu must be there. `outputs`: of the tokens, those that the last
// layer's experts compute. `cold`: nothing is in slots yet.
PassCost gpu_pass_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, uint32_t outputs,
                       bool cold);

// Seconds of computing in a pass with everything in memory: on the devices, and in RAM what the processors have.
double gpu_resident_computing(const PlacementProblem& problem, uint32_t ubatch, uint32_t tokens);

// Bytes of everything on one device, on all of them, and of everything in RAM.
uint64_t gpu_device_bytes(const PlacementProblem& problem, const Placement& placement, const GpuPart& device);
uint64_t gpu_device_bytes(const PlacementProblem& problem, const Placement& placement);
uint64_t gpu_ram_bytes(const PlacementProblem& problem, const Placement& placement);

// Bytes of RAM that the tables take, of which the processors look rows up: as they are, or with `rows` for some rows.
uint64_t gpu_table_bytes(const PlacementProblem& problem, bool rows);

// Bytes of RAM that streaming experts takes besides slots.
uint64_t gpu_buffer_bytes(const PlacementProblem& problem, const Placement& placement);

// Bytes of the placement's compute buffers on all devices.
uint64_t gpu_compute_bytes(const GpuProblem& gpu, const Placement& placement);

// On that device, bytes of the slots for so many experts of each layer, and of the staging of those that have not all.
uint64_t gpu_slot_bytes(const PlacementProblem& problem, const GpuPart& device, std::span<const uint32_t> layer_slots);
uint64_t gpu_staging_bytes(const PlacementProblem& problem, const GpuPart& device,
                           std::span<const uint32_t> layer_slots);

// Bytes of all experts of the device's layers.
uint64_t gpu_expert_bytes(const PlacementProblem& problem, const GpuPart& device);

}  // namespace hypura
