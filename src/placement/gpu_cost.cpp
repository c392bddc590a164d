#include "placement/gpu_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hypura {

namespace {

// Of the rate of copies alone, what copies of whole layers keep beside computing (docs/lab/experiments.md).
constexpr double kStagedRate = 0.7;

// What the device computes of a layer's experts, in place of what the processors do.
double experts_computing(const PlacementProblem& problem, const GpuSpeeds& speeds, size_t group, double uses,
                         uint32_t tokens) {
  ExpertGroup its = problem.experts[group];
  its.seconds = speeds.experts[group];
  its.repacked_from = std::numeric_limits<double>::infinity();
  return layer_computing(its, uses, tokens);
}

// All of the layer, from wherever it is.
void pass_through(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer, double beside,
                  PassCost& cost) {
  const ExpertGroup& group = problem.experts[layer.group];
  const auto bytes = static_cast<double>(group.bytes);
  const uint32_t missing = group.experts - layer.on_device;
  const uint32_t absent = missing - std::min(layer.in_ram, missing);
  cost.uploaded = problem.gpu->in_ram ? 0 : missing * bytes;
  cost.bytes = absent * bytes;
  cost.uploading = cost.uploaded / (kStagedRate * speeds.upload_bytes_per_second);
  cost.reading = cost.bytes / problem.expert_disk.bytes_per_second + (absent > 0 ? problem.expert_disk.latency : 0);
  cost.seconds = std::max({beside + cost.compute, cost.uploading, cost.reading}) - beside;
}

// What is used, one thing after the other; `cuts` of the stream of work.
void bring_used(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer, double cuts,
                PassCost& cost) {
  const auto bytes = static_cast<double>(problem.experts[layer.group].bytes);
  cost.uploaded = problem.gpu->in_ram ? 0 : cost.device_misses * bytes;
  cost.bytes = cost.misses * bytes;
  cost.cutting = cuts * speeds.sync_seconds;
  cost.uploading = cost.uploaded / speeds.upload_bytes_per_second;
  cost.reading =
      cost.bytes / problem.expert_disk.bytes_per_second + std::min(1.0, cost.misses) * problem.expert_disk.latency;
  cost.seconds = cost.compute + cost.cutting + cost.uploading + cost.reading;
}

void add_layer(PassCost& sum, const PassCost& layer) {
  sum.seconds += layer.seconds;
  sum.compute += layer.compute;
  sum.bytes += layer.bytes;
  sum.uses += layer.uses;
  sum.misses += layer.misses;
  sum.uploaded += layer.uploaded;
  sum.device_misses += layer.device_misses;
  sum.uploading += layer.uploading;
  sum.cutting += layer.cutting;
  sum.reading += layer.reading;
}

}  // namespace

std::vector<double> expected_misses(std::span<const double> popularity, uint32_t tokens) {
  std::vector<double> misses(popularity.size() + 1);
  for (size_t rank = popularity.size(); rank > 0; --rank) {
    const double used = 1 - std::pow(1 - std::min(1.0, popularity[rank - 1]), tokens);
    misses[rank - 1] = misses[rank] + used;
  }
  return misses;
}

double gpu_dense_computing(const GpuSpeeds& speeds, uint32_t tokens) {
  double seconds = speeds.rest.of(tokens);
  for (const PassSeconds& it : speeds.dense) {
    seconds += it.of(tokens);
  }
  return seconds;
}

PassCost gpu_layer_cost(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer,
                        uint32_t tokens, std::span<const double> misses, double beside) {
  const ExpertGroup& group = problem.experts[layer.group];
  PassCost cost;
  cost.uses = misses[0];
  cost.device_misses = misses[layer.on_device];
  cost.misses = misses[std::min(group.experts, layer.on_device + layer.in_ram)];
  cost.compute = experts_computing(problem, speeds, layer.group, cost.uses, tokens);
  const bool all = static_cast<uint64_t>(tokens) * group.used >= uint64_t{kGpuChoicesForAll} * group.experts;
  const bool too_many = layer.on_device < group.used || (tokens > 1 && cost.uses > layer.on_device);
  if (layer.on_device >= group.experts) {
    cost.seconds = cost.compute;
  } else if (layer.stages && (all || too_many)) {
    pass_through(problem, speeds, layer, beside, cost);
  } else {
    const double waves = std::ceil(cost.uses / std::max(1U, layer.on_device));
    bring_used(problem, speeds, layer, std::max(1.0, waves), cost);
  }
  return cost;
}

PassCost gpu_pass_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, bool cold) {
  const GpuSpeeds& speeds = problem.gpu->speeds_for(placement.ubatch);
  const double slower = 1 + problem.kv_choice(placement).slower;
  PassCost cost;
  if (!placement.experts.streamed) {
    cost.seconds = cost.compute = speeds.resident.of(tokens) * slower;
    return cost;
  }
  cost.seconds = cost.compute = gpu_dense_computing(speeds, tokens) * slower;
  const double beside = cost.seconds / static_cast<double>(problem.layer_groups.size());
  std::vector<std::vector<double>> misses;
  for (const ExpertGroup& group : problem.experts) {
    misses.push_back(expected_misses(group.popularity, tokens));
  }
  for (size_t i = 0; i < problem.layer_groups.size(); ++i) {
    GpuLayer layer = {problem.layer_groups[i], placement.gpu->layer_slots[i], placement.experts.layer_slots[i],
                      placement.gpu->stages};
    if (cold) {
      layer.on_device = layer.stages ? 0 : std::min(layer.on_device, problem.experts[layer.group].used);
      layer.in_ram = 0;
    }
    add_layer(cost, gpu_layer_cost(problem, speeds, layer, tokens, misses[layer.group], beside));
  }
  return cost;
}

uint64_t gpu_slot_bytes(const PlacementProblem& problem, std::span<const uint32_t> layer_slots) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < layer_slots.size(); ++i) {
    const GpuGroup& group = problem.gpu->groups[problem.layer_groups[i]];
    bytes += layer_slots[i] > 0 ? group.layer_bytes + layer_slots[i] * group.slot_bytes : 0;
  }
  return bytes;
}

uint64_t gpu_staging_bytes(const PlacementProblem& problem, std::span<const uint32_t> layer_slots) {
  uint64_t largest = 0;
  for (size_t i = 0; i < layer_slots.size(); ++i) {
    const size_t group = problem.layer_groups[i];
    const uint32_t experts = problem.experts[group].experts;
    const GpuGroup& its = problem.gpu->groups[group];
    largest = layer_slots[i] < experts ? std::max(largest, its.layer_bytes + experts * its.slot_bytes) : largest;
  }
  return 2 * largest;
}

uint64_t gpu_device_bytes(const PlacementProblem& problem, const Placement& placement) {
  const GpuProblem& gpu = *problem.gpu;
  const uint64_t always =
      gpu.weights + problem.kv_choice(placement).bytes + problem.ubatch_choice(placement).device_bytes;
  return placement.experts.streamed ? always + gpu.other + placement.gpu->slot_bytes + placement.gpu->staging_bytes
                                    : always + problem.expert_bytes;
}

uint64_t gpu_ram_bytes(const PlacementProblem& problem, const Placement& placement) {
  const UbatchChoice& pass = problem.ubatch_choice(placement);
  const uint64_t always = problem.gpu->host_weights + problem.other + pass.bytes;
  return placement.experts.streamed ? always + pass.expert_bytes + placement.experts.slots * problem.slot_stride
                                    : always;
}

}  // namespace hypura
