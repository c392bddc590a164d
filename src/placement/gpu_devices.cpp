#include "placement/gpu_devices.h"

#include <algorithm>
#include <limits>

#include "placement/gpu_placement.h"

namespace hypura {

namespace {

constexpr int kMostSweeps = 4;
// Another division must be this much better: copies from device to device are reckoned roughly.
constexpr double kBetterDivision = 1e-6;

// What is to be least, the first first.
struct DivisionCost {
  uint64_t lacking = 0;  // of the devices' memory
  double objective = 0;
  bool whole = false;  // everything lies there

  bool better_than(const DivisionCost& other) const {
    return lacking != other.lacking ? lacking < other.lacking : objective < other.objective * (1 - kBetterDivision);
  }
};

struct Division {
  std::vector<uint32_t> layers;
  DivisionCost cost;
};

uint64_t lacking_vram(const PlacementProblem& problem) {
  uint64_t bytes = 0;
  for (const GpuPart& device : problem.gpu->devices) {
    const uint64_t least = minimum_vram(problem, device);
    bytes += least - std::min(least, device.budget);
  }
  return bytes;
}

DivisionCost cost_of(PlacementProblem& problem, const std::vector<uint32_t>& layers) {
  put_layers(*problem.gpu, layers);
  if (const auto placement = place_on_gpu(problem)) {
    return {0, placement->objective, !placement->experts.streamed};
  }
  return {1 + lacking_vram(problem), std::numeric_limits<double>::max()};
}

// With every division of the layers that a device and the next have together. Gives whether one was better.
bool improve_between(PlacementProblem& problem, size_t device, Division& best) {
  const uint32_t together = best.layers[device] + best.layers[device + 1];
  bool improved = false;
  for (uint32_t layers = 1; layers < together; ++layers) {
    Division other = best;
    other.layers[device] = layers;
    other.layers[device + 1] = together - layers;
    other.cost = cost_of(problem, other.layers);
    if (other.cost.better_than(best.cost)) {
      best = std::move(other);
      improved = true;
    }
  }
  return improved;
}

}  // namespace

void put_layers(GpuProblem& gpu, std::span<const uint32_t> counts) {
  size_t next = 0;
  size_t streamed = 0;
  double share = 0;
  std::vector<uint64_t> kv_before(gpu.kv.size());
  for (size_t i = 0; i < gpu.devices.size(); ++i) {
    GpuPart& device = gpu.devices[i];
    device.layers = counts[i];
    device.weights = 0;
    device.first_streamed = streamed;
    for (uint32_t layer = 0; layer < counts[i]; ++layer, ++next) {
      device.weights += gpu.layers[next].weights;
      share += gpu.layers[next].kv_share;
      streamed += gpu.layers[next].streams ? 1 : 0;
    }
    device.end_streamed = streamed;
    device.kv.clear();
    for (size_t kv = 0; kv < gpu.kv.size(); ++kv) {
      const uint64_t all = gpu.kv[kv].bytes;
      const uint64_t so_far =
          next == gpu.layers.size() ? all : std::min(all, static_cast<uint64_t>(share * static_cast<double>(all)));
      device.kv.push_back(so_far - kv_before[kv]);
      kv_before[kv] = so_far;
    }
    device.compute.clear();
    for (const UbatchChoice& pass : gpu.ubatch) {
      device.compute.push_back(counts[i] > 0 ? pass.device_bytes : 0);
    }
  }
}

std::vector<uint32_t> layers_of_devices(const GpuProblem& gpu) {
  std::vector<uint32_t> layers;
  for (const GpuPart& device : gpu.devices) {
    layers.push_back(device.layers);
  }
  return layers;
}

// Each layer goes to the device in whose part of all memory the middle of the layer comes to lie.
std::vector<uint32_t> layers_by_memory(const PlacementProblem& problem, uint32_t used) {
  const GpuProblem& gpu = *problem.gpu;
  const uint64_t fixed = gpu.other + gpu.ubatch.back().device_bytes;
  std::vector<double> rooms;
  double room = 0;
  for (uint32_t i = 0; i < used; ++i) {
    const uint64_t budget = gpu.devices[i].budget;
    rooms.push_back(room += static_cast<double>(std::max<uint64_t>(1, budget - std::min(budget, fixed))));
  }
  std::vector<double> middles;
  double size = 0;
  size_t streamed = 0;
  for (const GpuModelLayer& layer : gpu.layers) {
    double its = static_cast<double>(layer.weights) + layer.kv_share * static_cast<double>(gpu.kv.front().bytes) + 1;
    if (layer.streams) {
      const ExpertGroup& group = problem.experts[problem.layer_groups[streamed++]];
      its += static_cast<double>(group.experts * group.bytes);
    }
    middles.push_back(size + its / 2);
    size += its;
  }
  std::vector<uint32_t> layers(gpu.devices.size());
  uint32_t next = 0;
  const auto all = static_cast<uint32_t>(gpu.layers.size());
  for (uint32_t i = 0; i < used; ++i) {
    const uint32_t most = all - (used - 1 - i);  // one is left for each that follows
    const uint32_t begin = next++;
    while (next < most && (i + 1 == used || middles[next] / size < rooms[i] / room)) {
      ++next;
    }
    layers[i] = next - begin;
  }
  return layers;
}

void divide_layers(PlacementProblem& problem) {
  GpuProblem& gpu = *problem.gpu;
  const auto most = static_cast<uint32_t>(std::min(gpu.devices.size(), gpu.layers.size()));
  Division best;
  size_t used = 0;
  for (uint32_t some = gpu.required ? most : 1; some <= most && !best.cost.whole; ++some) {
    Division its = {layers_by_memory(problem, some), {}};
    its.cost = cost_of(problem, its.layers);
    if (best.layers.empty() || its.cost.better_than(best.cost)) {
      best = std::move(its);
      used = some;
    }
  }
  bool improved = true;
  for (int sweep = 0; improved && sweep < kMostSweeps; ++sweep) {
    improved = false;
    for (size_t device = 0; device + 1 < used; ++device) {
      improved = improve_between(problem, device, best) || improved;
    }
  }
  put_layers(gpu, best.layers);
}

}  // namespace hypura
