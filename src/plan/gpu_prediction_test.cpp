// What is predicted of the slots on GPUs from the routing of few tokens, against what a long run finds there.

#include <gtest/gtest.h>

#include <algorithm>

#include "placement/gpu_placement.h"
#include "placement/gpu_problem_for_test.h"
#include "placement/popularity.h"
#include "residency/replay/replay.h"
#include "residency/replay/trace_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kTraced = 4;  // layers, each of which stands for some of the model's
constexpr size_t kTracedTokens = 900;

// A token's misses in the second half of the trace, in a layer whose slots all that is used passes through: what the
// last token used, and of the others what was used most so far.
double misses_of_long_run(const RoutingTrace& trace, uint32_t layer, uint32_t slots) {
  std::vector<int> uses(trace.experts);
  std::vector<uint16_t> held;
  double misses = 0;
  const size_t tokens = trace.passes.size();
  for (size_t token = 0; token < tokens; ++token) {
    const uint16_t* chosen = &trace.chosen[(token * trace.layers + layer) * trace.used];
    std::vector<uint16_t> now(chosen, chosen + trace.used);
    for (const uint16_t expert : now) {
      ++uses[expert];
      misses += token >= tokens / 2 && std::ranges::find(held, expert) == held.end() ? 1 : 0;
    }
    std::erase_if(held, [&](uint16_t it) { return std::ranges::find(now, it) != now.end(); });
    std::ranges::stable_sort(held, [&](uint16_t x, uint16_t y) { return uses[x] > uses[y]; });
    now.insert(now.end(), held.begin(), held.end());
    now.resize(std::min<size_t>(now.size(), slots));
    held = std::move(now);
  }
  return misses / static_cast<double>(tokens - tokens / 2);
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
      missed += misses_of_long_run(trace, layer % kTraced, placement->gpu->layer_slots[layer]);
    }
    EXPECT_NEAR(pass_cost(problem, *placement, 1).device_misses / missed, 1, 0.15) << vram.size() << " GPUs";
  }
}

}  // namespace
}  // namespace hypura
