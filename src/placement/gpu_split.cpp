#include "placement/gpu_split.h"

#include <algorithm>

#include "placement/cost.h"
#include "placement/gpu_cost.h"

namespace hypura {

namespace {

// What of a model is on either side.
struct SplitSides {
  GpuSplitPart gpu;
  uint64_t gpu_bytes = 0;
  uint64_t cpu_kv = 0;
  PassSeconds on_cpu;
};

SplitSides sides_of(const SplitProblem& problem, uint32_t gpu_layers) {
  SplitSides sides;
  GpuSplitPart& gpu = sides.gpu;
  gpu.all = static_cast<uint32_t>(problem.layers.size());
  gpu.layers = std::min(gpu_layers, gpu.all);
  gpu.budget = problem.gpu_budget;
  gpu.in_ram = problem.in_ram;
  gpu.offload_from = problem.offload_from;
  gpu.upload_bytes_per_second = problem.upload_bytes_per_second;
  gpu.handover = problem.handover;
  const size_t first = gpu.all - gpu.layers;
  for (size_t i = 0; i < problem.layers.size(); ++i) {
    const SplitLayer& layer = problem.layers[i];
    if (i >= first) {
      gpu.weights += layer.weights;
      sides.gpu_bytes += layer.weights + layer.kv;
      gpu.on_gpu += layer.on_gpu;
    } else {
      gpu.host_weights += layer.weights;
      sides.cpu_kv += layer.kv;
      sides.on_cpu += layer.on_cpu;
      gpu.off_cpu += layer.on_gpu;
    }
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
  const double reading = problem.disk.latency + static_cast<double>(split.streamed_bytes) / rate;
  return std::max(computing, reading + disk_idles(sides.gpu, problem.ring, rate, tokens));
}

}  // namespace

std::optional<GpuSplit> split_at(const SplitProblem& problem, uint32_t gpu_layers) {
  GpuSplit split;
  split.layers = std::min(gpu_layers, static_cast<uint32_t>(problem.layers.size()));
  const SplitSides sides = sides_of(problem, split.layers);
  const bool uses_gpu = split.layers > 0 || problem.offload_from > 0;
  split.gpu_bytes = sides.gpu_bytes + (uses_gpu ? problem.gpu_fixed : 0);
  const uint64_t kept = problem.ram_fixed + sides.cpu_kv + (problem.in_ram ? split.gpu_bytes : 0);
  split.ram_bytes = kept + sides.gpu.host_weights;
  if (split.ram_bytes > problem.ram_budget) {
    if (kept + problem.ring > problem.ram_budget) {
      return std::nullopt;
    }
    split.ram_bytes = problem.ram_budget;
    split.streamed_bytes = sides.gpu.host_weights - (problem.ram_budget - kept - problem.ring);
  }
  if (split.gpu_bytes > problem.gpu_budget) {
    return std::nullopt;
  }
  split.streamed_bytes = std::min(split.streamed_bytes, sides.gpu.host_weights);
  split.token_seconds = split_pass_seconds(problem, sides, split, 1);
  split.prompt_seconds = split_pass_seconds(problem, sides, split, problem.prompt_pass);
  const double share = problem.offload_from > 0 ? kGpuPromptShare : kPromptShare;
  split.objective = split.token_seconds + share / problem.prompt_pass * split.prompt_seconds;
  return split;
}

std::optional<GpuSplit> best_split(const SplitProblem& problem, uint32_t fewest, uint32_t most) {
  std::optional<GpuSplit> best;
  const auto all = static_cast<uint32_t>(problem.layers.size());
  for (uint32_t layers = fewest; layers <= std::min(most, all); ++layers) {
    const auto split = split_at(problem, layers);
    if (split && (!best || split->objective < best->objective)) {
      best = split;
    }
  }
  return best;
}

GpuSplitPart gpu_part(const SplitProblem& problem, uint32_t gpu_layers) {
  return sides_of(problem, gpu_layers).gpu;
}

double split_computing(const GpuSplitPart& part, double on_cpu, uint32_t tokens) {
  const bool both = part.layers > 0 && part.layers < part.all;
  const bool offloads = part.offload_from > 0 && tokens >= part.offload_from && part.host_weights > 0;
  const double uploading = static_cast<double>(part.host_weights) / part.upload_bytes_per_second;
  return part.on_gpu.of(tokens) + (offloads ? part.off_cpu.of(tokens) + uploading : on_cpu) +
         (both || offloads ? part.handover : 0);
}

double disk_idles(const GpuSplitPart& part, uint64_t ring, double bytes_per_second, uint32_t tokens) {
  return std::max(0.0, part.on_gpu.of(tokens) - static_cast<double>(ring) / bytes_per_second);
}

}  // namespace hypura
