#include "placement/gpu_split.h"

#include <algorithm>

#include "placement/cost.h"

namespace hypura {

namespace {

// What of a model is on either side.
struct SplitSides {
  uint64_t gpu_bytes = 0;
  uint64_t cpu_weights = 0;
  uint64_t cpu_kv = 0;
  PassSeconds on_gpu;   // the GPU's layers
  PassSeconds on_cpu;   // the processors'
  PassSeconds off_cpu;  // the same layers, computed by the GPU
};

SplitSides sides_of(const SplitProblem& problem, size_t first) {
  SplitSides sides;
  for (size_t i = 0; i < problem.layers.size(); ++i) {
    const SplitLayer& layer = problem.layers[i];
    if (i >= first) {
      sides.gpu_bytes += layer.weights + layer.kv;
      sides.on_gpu += layer.on_gpu;
    } else {
      sides.cpu_weights += layer.weights;
      sides.cpu_kv += layer.kv;
      sides.on_cpu += layer.on_cpu;
      sides.off_cpu += layer.on_gpu;
    }
  }
  return sides;
}

double split_pass_seconds(const SplitProblem& problem, const SplitSides& sides, const GpuSplit& split,
                          uint32_t tokens) {
  const bool both = split.layers > 0 && split.layers < problem.layers.size();
  const bool offloads = problem.offload_from > 0 && tokens >= problem.offload_from && sides.cpu_weights > 0;
  const double on_gpu = sides.on_gpu.of(tokens);
  const double before =
      offloads ? sides.off_cpu.of(tokens) + static_cast<double>(sides.cpu_weights) / problem.upload_bytes_per_second
               : sides.on_cpu.of(tokens);
  const double computing = on_gpu + before + (both || offloads ? problem.handover : 0);
  if (split.streamed_bytes == 0) {
    return computing;
  }
  // The disk goes on while the GPU computes its own layers, until the ring is full.
  const double filling = static_cast<double>(problem.ring) / problem.disk.bytes_per_second;
  const double reading =
      problem.disk.latency + static_cast<double>(split.streamed_bytes) / problem.disk.bytes_per_second;
  return std::max(computing, reading + std::max(0.0, on_gpu - filling));
}

double split_objective(const SplitProblem& problem, const GpuSplit& split) {
  return split.token_seconds + kPromptShare / problem.prompt_pass * split.prompt_seconds;
}

}  // namespace

std::optional<GpuSplit> split_at(const SplitProblem& problem, uint32_t gpu_layers) {
  GpuSplit split;
  split.layers = std::min(gpu_layers, static_cast<uint32_t>(problem.layers.size()));
  const SplitSides sides = sides_of(problem, problem.layers.size() - split.layers);
  const bool uses_gpu = split.layers > 0 || problem.offload_from > 0;
  split.gpu_bytes = sides.gpu_bytes + (uses_gpu ? problem.gpu_fixed : 0);
  const uint64_t kept = problem.ram_fixed + sides.cpu_kv;
  split.ram_bytes = kept + sides.cpu_weights;
  if (split.ram_bytes > problem.ram_budget) {
    if (kept + problem.ring > problem.ram_budget) {
      return std::nullopt;
    }
    split.ram_bytes = problem.ram_budget;
    split.streamed_bytes = sides.cpu_weights - (problem.ram_budget - kept - problem.ring);
  }
  if (split.gpu_bytes > problem.gpu_budget) {
    return std::nullopt;
  }
  split.streamed_bytes = std::min(split.streamed_bytes, sides.cpu_weights);
  split.token_seconds = split_pass_seconds(problem, sides, split, 1);
  split.prompt_seconds = split_pass_seconds(problem, sides, split, problem.prompt_pass);
  return split;
}

std::optional<GpuSplit> best_split(const SplitProblem& problem) {
  std::optional<GpuSplit> best;
  for (uint32_t layers = 0; layers <= problem.layers.size(); ++layers) {
    const auto split = split_at(problem, layers);
    if (split && (!best || split_objective(problem, *split) < split_objective(problem, *best))) {
      best = split;
    }
  }
  return best;
}

}  // namespace hypura
