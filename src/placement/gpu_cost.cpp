#include "placement/gpu_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "placement/gpu_host.h"
#include "residency/borrowed_slots.h"

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

// What was seen of the model's routing, for a token; else what its popularity lets expect.
double misses_on_device(const ExpertGroup& group, uint32_t slots, uint32_t tokens, std::span<const double> misses) {
  const std::vector<double>& seen = group.passing_misses;
  return tokens == 1 && !seen.empty() ? seen[std::min(slots, group.experts)] : misses_of_passing(misses, slots);
}

// What is used, one thing after the other; `cuts` of the stream of work. It passes through the slots there are.
void bring_used(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer, uint32_t tokens,
                std::span<const double> misses, double cuts, PassCost& cost) {
  const ExpertGroup& group = problem.experts[layer.group];
  const uint32_t there = layer.on_device + layer.borrowed;
  cost.device_misses = misses_on_device(group, there, tokens, misses);
  cost.misses = std::min(cost.device_misses, misses_on_device(group, there + layer.in_ram, tokens, misses));
  const auto bytes = static_cast<double>(group.bytes);
  cost.uploaded = problem.gpu->in_ram ? 0 : cost.device_misses * bytes;
  cost.bytes = cost.misses * bytes;
  cost.cutting = cuts * speeds.sync_seconds;
  cost.uploading = cost.uploaded / speeds.upload_bytes_per_second;
  cost.reading =
      cost.bytes / problem.expert_disk.bytes_per_second + std::min(1.0, cost.misses) * problem.expert_disk.latency;
  cost.seconds = cost.compute + cost.cutting + cost.uploading + cost.reading;
}

// What a layer takes when the processors compute a part of it, besides that: rows that come and go, threads that are
// woken. Measured once: 16 threads beside an H200.
constexpr double kMixedSeconds = 1.2e-4;

// The device computes what has slots there, and meanwhile the processors the rest, as soon as it is in RAM.
void compute_mixed(const PlacementProblem& problem, const GpuSpeeds& speeds, const GpuLayer& layer, uint32_t tokens,
                   PassCost& cost) {
  const ExpertGroup& group = problem.experts[layer.group];
  const double share = cost.uses > 0 ? cost.device_misses / cost.uses : 0;
  const double rows = share * tokens * group.used;
  cost.compute *= 1 - share;
  cost.cutting = speeds.sync_seconds;
  cost.bytes = cost.misses * static_cast<double>(group.bytes);
  cost.reading =
      cost.bytes / problem.expert_disk.bytes_per_second + std::min(1.0, cost.misses) * problem.expert_disk.latency;
  cost.processors = cost.device_misses * group.seconds.first +
                    std::max(0.0, rows - cost.device_misses) * group.seconds.more +
                    std::min(1.0, cost.device_misses) * kMixedSeconds;
  cost.seconds = cost.cutting + std::max({cost.compute, cost.processors, cost.reading});
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
  sum.processors += layer.processors;
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

double misses_of_passing(std::span<const double> misses, uint32_t slots) {
  const double used = misses[0];
  if (slots + 1 >= misses.size() || used <= 0) {
    return 0;
  }
  const double kept_of_last = std::min(1.0, slots / used);
  double room = slots - used;  // for others than the last pass used
  double missing = used;
  for (size_t rank = 0; rank + 1 < misses.size(); ++rank) {
    const double use = misses[rank] - misses[rank + 1];
    const double by_last = use * kept_of_last;
    const double by_rank = room <= 0 ? 0 : std::min(1 - by_last, room);
    room -= by_rank;
    missing -= use * (by_last + by_rank);
  }
  return std::max(0.0, missing);
}

std::vector<uint32_t> gpu_borrowed_slots(const PlacementProblem& problem, const GpuPart& device,
                                         std::span<const uint32_t> layer_slots, bool stages) {
  std::vector<BorrowingLayer> layers;
  for (size_t i = 0; i < problem.layer_groups.size(); ++i) {
    const ExpertGroup& group = problem.experts[problem.layer_groups[i]];
    const uint32_t slots = device.has(i) ? layer_slots[i] : group.experts;  // another's takes no part
    const bool borrows = stages && problem.gpu->groups[problem.layer_groups[i]].borrows;
    layers.push_back({group.experts, group.used, slots, borrows});
  }
  return borrowed_slots(layers);
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
  const uint32_t there = std::min(group.experts, layer.on_device + layer.borrowed);
  cost.device_misses = misses[there];
  cost.misses = misses[std::min(group.experts, there + layer.in_ram)];
  cost.compute = experts_computing(problem, speeds, layer.group, cost.uses, tokens);
  const bool all = static_cast<uint64_t>(tokens) * group.used >= uint64_t{kGpuChoicesForAll} * group.experts;
  const bool mixed = layer.mixed && tokens <= kMixedTokens && layer.on_device >= group.used;
  const bool too_many = layer.on_device < group.used || (tokens > 1 && cost.uses > there);
  if (layer.on_device >= group.experts) {
    cost.seconds = cost.compute;
  } else if (mixed && !all) {
    compute_mixed(problem, speeds, layer, tokens, cost);
  } else if (layer.stages && (all || too_many)) {
    pass_through(problem, speeds, layer, beside, cost);
  } else {
    const double waves = std::ceil(cost.uses / std::max(1U, layer.on_device));
    bring_used(problem, speeds, layer, tokens, misses, std::max(1.0, waves), cost);
  }
  return cost;
}

namespace {

// Of the work that is no layer's own in particular, a device's part.
double share_of_layers(const GpuProblem& gpu, const GpuPart& device) {
  return static_cast<double>(device.layers) / static_cast<double>(gpu.layers.size());
}

// What handing the pass on from device to device takes, and from the processors to the first.
double handovers(const GpuProblem& gpu, uint32_t ubatch) {
  double seconds = 0;
  bool first = gpu.host.layers == 0;
  for (const GpuPart& device : gpu.devices) {
    seconds += device.layers == 0 || first ? 0 : gpu.speeds_for(device, ubatch).sync_seconds;
    first = first && device.layers == 0;
  }
  return seconds;
}

struct GpuPass {
  uint32_t tokens = 0;
  uint32_t outputs = 0;
  bool cold = false;
  std::vector<std::vector<double>> misses;  // by group
  std::vector<double> misses_of_outputs;    // in the last layer

  bool only_outputs(const PlacementProblem& problem, size_t layer) const {
    return outputs < tokens && layer + 1 == problem.layer_groups.size();
  }
  const std::vector<double>& misses_of(const PlacementProblem& problem, size_t layer) const {
    return only_outputs(problem, layer) ? misses_of_outputs : misses[problem.layer_groups[layer]];
  }
};

void add_device(const PlacementProblem& problem, const Placement& placement, const GpuPart& device, const GpuPass& pass,
                PassCost& cost) {
  const GpuSpeeds& speeds = problem.gpu->speeds_for(device, placement.ubatch);
  const double slower = 1 + problem.kv_choice(placement).slower;
  const double dense = gpu_dense_computing(speeds, pass.tokens) * slower;
  const double mine = dense * share_of_layers(*problem.gpu, device);
  cost.seconds += mine;
  cost.compute += mine;
  const double beside = dense / static_cast<double>(problem.layer_groups.size());
  const std::vector<uint32_t> borrowed =
      gpu_borrowed_slots(problem, device, placement.gpu->layer_slots, placement.gpu->borrows);
  for (size_t i = device.first_streamed; i < device.end_streamed; ++i) {
    GpuLayer layer = {
        problem.layer_groups[i], placement.gpu->layer_slots[i], placement.experts.layer_slots[i], borrowed[i],
        placement.gpu->stages,   placement.gpu->mixed};
    if (pass.cold) {
      layer.borrowed = 0;
      layer.on_device = layer.stages ? 0 : std::min(layer.on_device, problem.experts[layer.group].used);
      layer.in_ram = 0;
    }
    const uint32_t tokens = pass.only_outputs(problem, i) ? pass.outputs : pass.tokens;
    add_layer(cost, gpu_layer_cost(problem, speeds, layer, tokens, pass.misses_of(problem, i), beside));
  }
}

// What is dense of the processors' layers: computed by them, or by the first device, which gets the weights copied.
double host_dense_seconds(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  const GpuProblem& gpu = *problem.gpu;
  const double share = static_cast<double>(gpu.host.layers) / static_cast<double>(gpu.layers.size());
  if (gpu.offload_from == 0 || tokens < gpu.offload_from) {
    return dense_computing(problem, tokens) * share;
  }
  const auto first = std::ranges::find_if(gpu.devices, [](const GpuPart& it) { return it.layers > 0; });
  const GpuSpeeds& speeds = gpu.speeds_for(*first, placement.ubatch);
  return gpu_dense_computing(speeds, tokens) * share +
         static_cast<double>(gpu.host.weights) / speeds.upload_bytes_per_second;
}

// The layers that the processors compute, from RAM and disk.
void add_host(const PlacementProblem& problem, const Placement& placement, const GpuPass& pass, PassCost& cost) {
  if (problem.gpu->host.layers == 0) {
    return;
  }
  const double slower = 1 + problem.kv_choice(placement).slower;
  PassCost host;
  host.seconds = host.processors = host_dense_seconds(problem, placement, pass.tokens) * slower;
  for (size_t i = 0; i < problem.gpu->host.end_streamed; ++i) {
    const ExpertGroup& group = problem.experts[problem.layer_groups[i]];
    const std::vector<double>& misses = pass.misses[problem.layer_groups[i]];
    PassCost layer;
    layer.uses = layer.device_misses = misses[0];
    layer.misses = misses[pass.cold ? 0 : std::min(group.experts, placement.experts.layer_slots[i])];
    layer.processors = layer_computing(group, layer.uses, pass.tokens) + problem.block_seconds;
    layer.bytes = layer.misses * static_cast<double>(group.bytes);
    layer.reading =
        layer.bytes / problem.expert_disk.bytes_per_second + std::min(1.0, layer.misses) * problem.expert_disk.latency;
    const Contention costs = overlap_costs(problem, group, placement.experts.spare_slots, pass.tokens);
    layer.seconds = layer.misses > 0 ? overlapped(layer.processors, layer.reading, costs) : layer.processors;
    add_layer(host, layer);
  }
  add_layer(cost, host);
}

size_t index_of_kv(const GpuProblem& gpu, const Placement& placement) {
  const auto it = std::ranges::find(gpu.kv, placement.kv_type, &KvChoice::type);
  return it == gpu.kv.end() ? 0 : static_cast<size_t>(it - gpu.kv.begin());
}

size_t index_of_pass(const GpuProblem& gpu, uint32_t tokens) {
  const auto it = std::ranges::find(gpu.ubatch, tokens, &UbatchChoice::tokens);
  return it == gpu.ubatch.end() ? 0 : static_cast<size_t>(it - gpu.ubatch.begin());
}

}  // namespace

const GpuSpeeds& GpuProblem::speeds_for(const GpuPart& device, uint32_t tokens) const {
  return device.speeds[index_of_pass(*this, tokens)];
}

PassCost gpu_pass_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, uint32_t outputs,
                       bool cold) {
  PassCost cost;
  if (!placement.experts.streamed) {
    const double slower = 1 + problem.kv_choice(placement).slower;
    cost.seconds = cost.compute = gpu_resident_computing(problem, placement.ubatch, tokens) * slower;
    return cost;
  }
  GpuPass pass = {tokens, outputs, cold, {}, {}};
  for (const ExpertGroup& group : problem.experts) {
    pass.misses.push_back(expected_misses(group.popularity, tokens));
  }
  pass.misses_of_outputs = expected_misses(problem.experts[problem.layer_groups.back()].popularity, outputs);
  cost.seconds = cost.compute = handovers(*problem.gpu, placement.ubatch);
  // The output matrix is a device's, also where it is a table.
  const Lookups rows = lookups(problem, Mode::kExpertStreaming, placement.tables.streamed, tokens);
  cost.seconds += rows.seconds;
  cost.reading += rows.seconds;
  cost.bytes += rows.bytes;
  add_host(problem, placement, pass, cost);
  const double before = cost.seconds;
  for (const GpuPart& device : problem.gpu->devices) {
    add_device(problem, placement, device, pass, cost);
  }
  add_host_ring(problem, placement.dense, cost.seconds - before, cost);
  return cost;
}

double gpu_resident_computing(const PlacementProblem& problem, uint32_t ubatch, uint32_t tokens) {
  const GpuProblem& gpu = *problem.gpu;
  const double of_host = static_cast<double>(gpu.host.layers) / static_cast<double>(gpu.layers.size());
  double seconds = handovers(gpu, ubatch) + of_host * problem.resident.of(tokens);
  for (const GpuPart& device : gpu.devices) {
    seconds += gpu.speeds_for(device, ubatch).resident.of(tokens) * share_of_layers(gpu, device);
  }
  return seconds;
}

uint64_t gpu_slot_bytes(const PlacementProblem& problem, const GpuPart& device, std::span<const uint32_t> layer_slots) {
  uint64_t bytes = 0;
  for (size_t i = device.first_streamed; i < device.end_streamed; ++i) {
    const GpuGroup& group = problem.gpu->groups[problem.layer_groups[i]];
    bytes += layer_slots[i] > 0 ? group.layer_bytes + layer_slots[i] * group.slot_bytes : 0;
  }
  return bytes;
}

uint64_t gpu_staging_bytes(const PlacementProblem& problem, const GpuPart& device,
                           std::span<const uint32_t> layer_slots) {
  uint64_t largest = 0;
  for (size_t i = device.first_streamed; i < device.end_streamed; ++i) {
    const size_t group = problem.layer_groups[i];
    const uint32_t experts = problem.experts[group].experts;
    const GpuGroup& its = problem.gpu->groups[group];
    largest = layer_slots[i] < experts ? std::max(largest, its.layer_bytes + experts * its.slot_bytes) : largest;
  }
  return 2 * largest;
}

uint64_t gpu_expert_bytes(const PlacementProblem& problem, const GpuPart& device) {
  uint64_t bytes = 0;
  for (size_t i = device.first_streamed; i < device.end_streamed; ++i) {
    const ExpertGroup& group = problem.experts[problem.layer_groups[i]];
    bytes += group.experts * group.bytes;
  }
  return bytes;
}

uint64_t gpu_device_bytes(const PlacementProblem& problem, const Placement& placement, const GpuPart& device) {
  const GpuProblem& gpu = *problem.gpu;
  if (device.layers == 0) {
    return 0;
  }
  const uint64_t always =
      device.weights + device.kv[index_of_kv(gpu, placement)] + device.compute[index_of_pass(gpu, placement.ubatch)];
  if (!placement.experts.streamed) {
    return always + gpu_expert_bytes(problem, device);
  }
  const std::vector<uint32_t>& slots = placement.gpu->layer_slots;
  return always + gpu.other + gpu_slot_bytes(problem, device, slots) +
         (placement.gpu->stages ? gpu_staging_bytes(problem, device, slots) : 0);
}

uint64_t gpu_device_bytes(const PlacementProblem& problem, const Placement& placement) {
  uint64_t bytes = 0;
  for (const GpuPart& device : problem.gpu->devices) {
    bytes += gpu_device_bytes(problem, placement, device);
  }
  return bytes;
}

uint64_t gpu_compute_bytes(const GpuProblem& gpu, const Placement& placement) {
  uint64_t bytes = 0;
  for (const GpuPart& device : gpu.devices) {
    bytes += device.compute[index_of_pass(gpu, placement.ubatch)];
  }
  return bytes;
}

uint64_t gpu_table_bytes(const PlacementProblem& problem, bool rows) {
  const uint64_t all = problem.gpu->host_weights;
  return rows ? all - problem.tables.bytes + problem.tables.buffer_bytes : all;
}

uint64_t gpu_buffer_bytes(const PlacementProblem& problem, const Placement& placement) {
  const UbatchChoice& pass = problem.ubatch_choice(placement);
  return pass.expert_bytes + problem.gpu->host_expert_bytes(pass) +
         (placement.gpu->mixed ? problem.gpu->mixed_bytes : 0);
}

uint64_t gpu_ram_bytes(const PlacementProblem& problem, const Placement& placement) {
  const GpuProblem& gpu = *problem.gpu;
  const UbatchChoice& pass = problem.ubatch_choice(placement);
  const DensePlacement& dense = placement.dense;
  const uint64_t of_host = host_weight_bytes(problem, dense.streamed) + dense.pinned_bytes + dense.ring_bytes +
                           gpu.host_kv(placement.kv_type) + gpu.host_bytes(pass);
  const uint64_t always = gpu_table_bytes(problem, placement.tables.streamed) + problem.other + pass.bytes + of_host;
  return placement.experts.streamed
             ? always + gpu_buffer_bytes(problem, placement) + placement.experts.slots * problem.slot_stride
             : always;
}

}  // namespace hypura
