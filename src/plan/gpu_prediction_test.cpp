// What is predicted of the slots on GPUs from the routing of few tokens, against what a long run finds there.

#include <gtest/gtest.h>

#include "placement/gpu_placement.h"
#include "placement/gpu_problem_for_test.h"
#include "placement/popularity.h"
#include "residency/replay/replay.h"
#include "residency/replay/trace_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kTraced = 4;  // layers, each of which stands for some of the model's
constexpr size_t kTracedTokens = 900;

// Hits per lookup by slots, from [0], in the second half of the trace, whose first half fills the caches.
std::vector<double> lasting_hits(const RoutingTrace& trace, uint32_t layer) {
  const size_t half = trace.passes.size() / 2;
  const std::vector<double> whole = hit_curve(trace);
  const std::vector<double> begin = hit_curve(part_of(trace, 0, half));
  std::vector<double> hits;
  for (uint32_t slots = 0; slots <= trace.experts; ++slots) {
    const size_t at = layer * (trace.experts + 1) + slots;
    hits.push_back(2 * whole[at] - begin[at]);
  }
  return hits;
}

std::vector<double> mean_of_layers(const std::vector<double>& curve, uint32_t experts) {
  std::vector<double> mean(experts + 1);
  for (size_t i = 0; i < curve.size(); ++i) {
    mean[i % mean.size()] += curve[i] / kTraced;
  }
  return mean;
}

TEST(GpuPrediction, MissesFromFewTokensAreThoseOfALongRun) {
  PlacementProblem problem = gpu_problem(2 * kGiB, 8 * kGiB);
  const ExpertGroup group = problem.experts[0];
  const RoutingTrace trace = zipf_trace(kTraced, group.experts, group.used, kTracedTokens);
  const RoutingTrace few = part_of(trace, 100, 112);
  const std::vector<double> popularity =
      popularity_from_hits(mean_of_layers(lasting_hit_curve(few), group.experts), group.used);
  std::vector<std::vector<double>> hits;
  for (uint32_t layer = 0; layer < kTraced; ++layer) {
    hits.push_back(lasting_hits(trace, layer));
  }
  for (const std::vector<uint64_t>& vram :
       {std::vector<uint64_t>{2 * kGiB}, {3 * kGiB}, {kGiB, 2 * kGiB}, {3 * kGiB / 2, 3 * kGiB / 2}}) {
    problem = gpu_problem(vram, 8 * kGiB);
    problem.experts[0].popularity = popularity;
    problem.gpu->required = true;
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    ASSERT_TRUE(placement->experts.streamed);
    double missed = 0;
    for (size_t layer = 0; layer < problem.layer_groups.size(); ++layer) {
      missed += problem.experts[0].used * (1 - hits[layer % kTraced][placement->gpu->layer_slots[layer]]);
    }
    EXPECT_NEAR(pass_cost(problem, *placement, 1).device_misses / missed, 1, 0.15) << vram.size() << " GPUs";
  }
}

}  // namespace
}  // namespace hypura
