#include "placement/gpu_split.h"

#include <algorithm>
#include <numeric>

#include "placement/cost.h"
#include "placement/gpu_cost.h"

namespace hypura {

namespace {

// Of a prompt's pass, what counts beside a token's.
double prompt_part(const SplitProblem& problem) {
  return (problem.offload_from > 0 ? kGpuPromptShare : kPromptShare) / problem.prompt_pass;
}

// How the last layers, any number of them, are best divided among the devices, which have some each that follow each
// other: found from the end on. With several devices only times that add up are weighed.
class Divisions {
 public:
  explicit Divisions(const SplitProblem& problem)
      : problem_(problem), layers_(problem.layers.size()), best_(problem.devices.size()) {
    for (size_t device = problem.devices.size(); device > 0; --device) {
      find(device - 1);
    }
  }

  // Layers of each device; none when they do not fit.
  std::optional<std::vector<uint32_t>> of_last(uint32_t count) const {
    std::vector<uint32_t> counts;
    size_t next = layers_ - count;
    if (best_.front()[next].seconds == kNever) {
      return std::nullopt;
    }
    for (const std::vector<Best>& its : best_) {
      counts.push_back(its[next].layers);
      next += its[next].layers;
    }
    return counts;
  }

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  // From some layer to the last, on a device and those that follow it.
  struct Best {
    uint32_t layers = 0;  // of the device itself
    double seconds = kNever;
  };

  double after(size_t device, size_t layer) const {
    const bool last = device + 1 == best_.size();
    return last ? (layer == layers_ ? 0 : kNever) : best_[device + 1][layer].seconds;
  }

  void find(size_t device) {
    const SplitDevice& its = problem_.devices[device];
    best_[device].resize(layers_ + 1);
    for (size_t first = 0; first <= layers_; ++first) {
      Best& best = best_[device][first];
      best.seconds = problem_.all_devices ? kNever : after(device, first);
      uint64_t bytes = its.fixed;
      double seconds = its.handover;
      for (size_t end = first + 1; end <= layers_ && end - first <= its.most; ++end) {
        const SplitLayer& layer = problem_.layers[end - 1];
        bytes += layer.weights + layer.more_on_gpu + layer.kv;
        if (bytes > its.budget) {
          break;
        }
        const PassSeconds& pass = its.seconds[end - 1];
        seconds += pass.first + prompt_part(problem_) * pass.of(problem_.prompt_pass);
        if (const double all = seconds + after(device, end); all < best.seconds) {
          best = {static_cast<uint32_t>(end - first), all};
        }
      }
    }
  }

  const SplitProblem& problem_;
  size_t layers_;
  std::vector<std::vector<Best>> best_;  // by device, and first layer
};

// What of a model is on either side.
struct SplitSides {
  GpuSplitPart gpu;
  uint64_t gpu_bytes = 0;
  uint64_t cpu_kv = 0;
  PassSeconds on_cpu;
};

// The device that the processors hand a pass to.
const SplitDevice& first_device(const SplitProblem& problem, std::span<const uint32_t> device_layers) {
  const auto used = std::ranges::find_if(device_layers, [](uint32_t layers) { return layers > 0; });
  return used == device_layers.end() ? problem.devices.front()
                                     : problem.devices[static_cast<size_t>(used - device_layers.begin())];
}

void add_devices(const SplitProblem& problem, std::span<const uint32_t> device_layers, SplitSides& sides) {
  GpuSplitPart& gpu = sides.gpu;
  const auto used = std::max<std::ptrdiff_t>(1, std::ranges::count_if(device_layers, [](uint32_t n) { return n > 0; }));
  uint64_t kv = 0;
  size_t next = gpu.all - gpu.layers;
  std::vector<uint64_t> its_kv(problem.devices.size());
  for (size_t i = 0; i < problem.devices.size(); ++i) {
    const SplitDevice& device = problem.devices[i];
    GpuSplitShare& share = gpu.devices.emplace_back();
    share.layers = device_layers[i];
    share.budget = device.budget;
    const bool computes = gpu.layers > 0 ? share.layers > 0 : i == 0;
    share.compute_share = computes ? 1 / static_cast<double>(used) : 0;
    gpu.on_gpu.first += share.layers > 0 && &device != &first_device(problem, device_layers) ? device.handover : 0;
    for (uint32_t layer = 0; layer < share.layers; ++layer, ++next) {
      const SplitLayer& its = problem.layers[next];
      share.weights += its.weights + its.more_on_gpu;
      its_kv[i] += its.kv;
      gpu.on_gpu += device.seconds[next];
    }
    kv += its_kv[i];
    sides.gpu_bytes += share.weights + its_kv[i] + (share.layers > 0 ? device.fixed : 0);
  }
  for (size_t i = 0; kv > 0 && i < gpu.devices.size(); ++i) {
    gpu.devices[i].kv_share = static_cast<double>(its_kv[i]) / static_cast<double>(kv);
  }
}

SplitSides sides_of(const SplitProblem& problem, std::span<const uint32_t> device_layers) {
  SplitSides sides;
  GpuSplitPart& gpu = sides.gpu;
  const SplitDevice& first = first_device(problem, device_layers);
  gpu.all = static_cast<uint32_t>(problem.layers.size());
  gpu.layers = std::accumulate(device_layers.begin(), device_layers.end(), 0U);
  gpu.in_ram = problem.in_ram;
  gpu.remote = problem.remote;
  gpu.offload_from = problem.offload_from;
  gpu.upload_bytes_per_second = first.upload_bytes_per_second;
  gpu.handover = first.handover;
  add_devices(problem, device_layers, sides);
  for (size_t i = 0; i < gpu.all - gpu.layers; ++i) {
    const SplitLayer& layer = problem.layers[i];
    gpu.host_weights += layer.weights;
    sides.cpu_kv += layer.kv;
    sides.on_cpu += layer.on_cpu;
    gpu.off_cpu += first.seconds[i];
  }
  if (gpu.layers == 0 && problem.offload_from > 0) {
    sides.gpu_bytes = first.fixed;
  }
  return sides;
}

double split_pass_seconds(const SplitProblem& problem, const SplitSides& sides, const GpuSplit& split,
                          uint32_t tokens) {
  const double computing = split_computing(sides.gpu, sides.on_cpu.of(tokens), tokens);
  if (split.streamed_bytes == 0) {
    return computing;
  }
  const double rate = problem.disk.bytes_per_second;
  const double part = tokens == 1 ? problem.token_part : 1;
  const double reading = problem.disk.latency + part * static_cast<double>(split.streamed_bytes) / rate +
                         disk_idles(sides.gpu, problem.ring, rate, tokens);
  return std::max(computing, reading) + problem.overlap_loss * std::min(computing, reading);
}

std::vector<uint32_t> none_of(const SplitProblem& problem) {
  return std::vector<uint32_t>(problem.devices.size());
}

std::optional<GpuSplit> divided_at(const SplitProblem& problem, const Divisions& divisions, uint32_t gpu_layers) {
  GpuSplit split;
  split.layers = std::min(gpu_layers, static_cast<uint32_t>(problem.layers.size()));
  auto device_layers = split.layers == 0 ? none_of(problem) : divisions.of_last(split.layers);
  if (!device_layers) {
    return std::nullopt;
  }
  split.device_layers = std::move(*device_layers);
  const SplitSides sides = sides_of(problem, split.device_layers);
  split.gpu_bytes = sides.gpu_bytes;
  const uint64_t kept = problem.ram_fixed + sides.cpu_kv + (problem.in_ram ? split.gpu_bytes : 0);
  split.ram_bytes = kept + sides.gpu.host_weights;
  if (split.ram_bytes > problem.ram_budget) {
    if (kept + problem.ring > problem.ram_budget) {
      return std::nullopt;
    }
    split.ram_bytes = problem.ram_budget;
    split.streamed_bytes = sides.gpu.host_weights - (problem.ram_budget - kept - problem.ring);
  }
  if (split.layers == 0 && split.gpu_bytes > problem.devices.front().budget) {
    return std::nullopt;
  }
  split.streamed_bytes = std::min(split.streamed_bytes, sides.gpu.host_weights);
  split.token_seconds = split_pass_seconds(problem, sides, split, 1) + problem.token_lookup;
  split.prompt_seconds = split_pass_seconds(problem, sides, split, problem.prompt_pass) + problem.prompt_lookup;
  split.objective = split.token_seconds + prompt_part(problem) * split.prompt_seconds;
  return split;
}

}  // namespace

std::optional<GpuSplit> split_at(const SplitProblem& problem, uint32_t gpu_layers) {
  return divided_at(problem, Divisions(problem), gpu_layers);
}

namespace {

constexpr double kLess = 1 - 1e-9;  // sums in another order differ by less

}  // namespace

std::optional<GpuSplit> best_split(const SplitProblem& problem, uint32_t fewest, uint32_t most) {
  std::optional<GpuSplit> best;
  const Divisions divisions(problem);
  const auto all = static_cast<uint32_t>(problem.layers.size());
  for (uint32_t layers = fewest; layers <= std::min(most, all); ++layers) {
    auto split = divided_at(problem, divisions, layers);
    if (split && (!best || split->objective < best->objective * kLess)) {
      best = std::move(split);
    }
  }
  return best;
}

GpuSplitPart gpu_part(const SplitProblem& problem, std::span<const uint32_t> device_layers) {
  return sides_of(problem, device_layers).gpu;
}

double split_computing(const GpuSplitPart& part, double on_cpu, uint32_t tokens) {
  const bool both = part.layers > 0 && (part.layers < part.all || part.remote);
  const bool offloads = part.offload_from > 0 && tokens >= part.offload_from && part.host_weights > 0;
  const double uploading = static_cast<double>(part.host_weights) / part.upload_bytes_per_second;
  return part.on_gpu.of(tokens) + (offloads ? part.off_cpu.of(tokens) + uploading : on_cpu) +
         (both || offloads ? part.handover : 0);
}

double disk_idles(const GpuSplitPart& part, uint64_t ring, double bytes_per_second, uint32_t tokens) {
  return std::max(0.0, part.on_gpu.of(tokens) - static_cast<double>(ring) / bytes_per_second);
}

}  // namespace hypura
