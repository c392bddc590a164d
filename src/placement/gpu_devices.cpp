#include "placement/gpu_devices.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "placement/gpu_placement.h"

namespace hypura {

namespace {

constexpr int kMostSweeps = 4;
constexpr uint32_t kFirstDivisions = 8;  // of two devices' layers, with all KV caches and passes
// Another division must be this much better: copies from device to device are reckoned roughly.
constexpr double kBetterDivision = 1e-6;

// What is to be least, the first first.
struct DivisionCost {
  uint64_t lacking = 0;  // of the devices' memory
  double objective = 0;

  bool better_than(const DivisionCost& other) const {
    return lacking != other.lacking ? lacking < other.lacking : objective < other.objective * (1 - kBetterDivision);
  }
};

struct Division {
  uint32_t host = 0;  // GpuHostLayers::layers
  std::vector<uint32_t> layers;
  DivisionCost cost;
  std::optional<Placement> placement;  // none: it does not fit

  bool whole() const { return placement && !placement->experts.streamed; }
};

uint64_t lacking_vram(const PlacementProblem& problem) {
  uint64_t bytes = 0;
  for (const GpuPart& device : problem.gpu->devices) {
    const uint64_t least = minimum_vram(problem, device);
    bytes += least - std::min(least, device.budget);
  }
  return bytes;
}

Division divided(PlacementProblem& problem, std::vector<uint32_t> layers) {
  put_layers(*problem.gpu, layers);
  const uint32_t host = problem.gpu->host.layers;
  if (const uint64_t lacking = lacking_vram(problem); lacking > 0) {
    return {host, std::move(layers), {1 + lacking, std::numeric_limits<double>::max()}, {}};
  }
  if (auto placement = place_on_gpu(problem)) {
    return {host, std::move(layers), {0, placement->objective}, std::move(*placement)};
  }
  return {host, std::move(layers), {1, std::numeric_limits<double>::max()}, {}};
}

// With divisions, each `step` layers from the one before, of what a device and the next have together.
void improve_between(PlacementProblem& problem, size_t device, uint32_t step, Division& best) {
  const uint32_t together = best.layers[device] + best.layers[device + 1];
  for (uint32_t at = 1; at < together - 1 + step; at += step) {
    const uint32_t layers = std::min(at, together - 1);
    std::vector<uint32_t> other = best.layers;
    other[device] = layers;
    other[device + 1] = together - layers;
    Division its = divided(problem, std::move(other));
    if (its.cost.better_than(best.cost)) {
      best = std::move(its);
    }
  }
}

// Of `all`, from number `at` so many to either side.
template <class T>
void keep_around(std::vector<T>& all, size_t at, size_t more) {
  const size_t end = std::min(all.size(), at + more + 1);
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(end), all.end());
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at - std::min(at, more)));
}

// Leaves the placement's KV cache, and its passes and so many sizes to either side.
void keep_choices_around(GpuProblem& gpu, const Placement& placement, size_t more) {
  const auto kv = std::ranges::find(gpu.kv, placement.kv_type, &KvChoice::type) - gpu.kv.begin();
  const auto pass = std::ranges::find(gpu.ubatch, placement.ubatch, &UbatchChoice::tokens) - gpu.ubatch.begin();
  keep_around(gpu.kv, static_cast<size_t>(kv), 0);
  keep_around(gpu.host.kv, static_cast<size_t>(kv), 0);
  keep_around(gpu.ubatch, static_cast<size_t>(pass), more);
  for (GpuPart& device : gpu.devices) {
    keep_around(device.kv, static_cast<size_t>(kv), 0);
    keep_around(device.compute, static_cast<size_t>(pass), more);
    keep_around(device.speeds, static_cast<size_t>(pass), more);
  }
}

// Of all devices that have layers in `best`: some divisions, or all with the KV cache of its placement and about its
// passes, where it has one. All with everything would take seconds.
Division improved(PlacementProblem problem, Division best, bool some) {
  if (!some && best.placement) {
    keep_choices_around(*problem.gpu, *best.placement, 1);
  }
  for (size_t device = 0; device + 1 < best.layers.size() && best.layers[device + 1] > 0; ++device) {
    const uint32_t together = best.layers[device] + best.layers[device + 1];
    improve_between(problem, device, some ? std::max(1U, together / kFirstDivisions) : 1, best);
  }
  return best;
}

}  // namespace

void put_layers(GpuProblem& gpu, std::span<const uint32_t> counts) {
  size_t next = 0;
  size_t streamed = 0;
  double share = 0;
  gpu.host.weights = 0;
  gpu.host.end_dense = 0;
  for (; next < gpu.host.layers; ++next) {
    gpu.host.weights += gpu.layers[next].weights;
    gpu.host.end_dense += gpu.layers[next].dense;
    share += gpu.layers[next].kv_share;
    streamed += gpu.layers[next].streams ? 1 : 0;
  }
  gpu.host.end_streamed = streamed;
  std::vector<uint64_t> kv_before;
  for (const KvChoice& kv : gpu.kv) {
    kv_before.push_back(static_cast<uint64_t>(share * static_cast<double>(kv.bytes)));
  }
  gpu.host.kv = kv_before;
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

void leave_layers(GpuProblem& gpu, uint32_t layers) {
  gpu.host.layers = layers;
  gpu.host.end_streamed = static_cast<size_t>(
      std::ranges::count_if(std::span(gpu.layers).first(layers), [](const GpuModelLayer& it) { return it.streams; }));
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
  size_t streamed = gpu.host.end_streamed;
  for (const GpuModelLayer& layer : std::span(gpu.layers).subspan(gpu.host.layers)) {
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
  const auto all = static_cast<uint32_t>(middles.size());
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

void keep_gpu_choices(GpuProblem& gpu, const Placement& placement) {
  keep_choices_around(gpu, placement, 0);
}

namespace {

// With as many layers left to the processors as gpu.host says.
Division best_by_memory(PlacementProblem& problem) {
  const GpuProblem& gpu = *problem.gpu;
  const auto most = static_cast<uint32_t>(std::min(gpu.devices.size(), gpu.layers.size() - gpu.host.layers));
  Division best;
  for (uint32_t used = gpu.required ? most : 1; used <= most && !best.whole(); ++used) {
    Division its = divided(problem, layers_by_memory(problem, used));
    if (best.layers.empty() || its.cost.better_than(best.cost)) {
      best = std::move(its);
    }
  }
  return best;
}

// The processors get the first layers, as many as is best of the numbers with which the others fit the devices. One
// layer and the output at least are the devices'.
Division with_host_layers(PlacementProblem& problem, Division best) {
  for (uint32_t layers = 1; layers + 2 <= problem.gpu->layers.size(); ++layers) {
    leave_layers(*problem.gpu, layers);
    Division its = best_by_memory(problem);
    if (its.cost.better_than(best.cost)) {
      best = std::move(its);
    }
  }
  leave_layers(*problem.gpu, best.host);
  return best;
}

}  // namespace

void divide_layers(PlacementProblem& problem) {
  GpuProblem& gpu = *problem.gpu;
  leave_layers(gpu, 0);
  Division best = best_by_memory(problem);
  if (!best.placement && gpu.may_leave_layers) {
    best = with_host_layers(problem, std::move(best));
  }
  best = improved(problem, std::move(best), true);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    Division its = improved(problem, best, false);
    if (!its.cost.better_than(best.cost)) {
      break;
    }
    best = divided(problem, std::move(its.layers));
  }
  put_layers(gpu, best.layers);
}

}  // namespace hypura
