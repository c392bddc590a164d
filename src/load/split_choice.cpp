#include "load/split_choice.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "placement/cost.h"
#include "plan/gpu_layers.h"
#include "plan/request_cost.h"
#include "plan/worker_plans.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Layers are workers' where tokens and prompts are so many times as fast by that: the answer that is being made ends
// when a worker is lost, which costs nothing where it computes parts. Chosen.
constexpr double kLeastLayersGain = 1.1;

struct Expected {
  double objective = 0;      // seconds, as placement/cost.h has it
  double token_seconds = 0;  // of a pass of one token
};

// With whole layers on those that compute them; none: on nobody.
std::optional<Expected> with_layers(OpenRequest request) {
  if (!request.gpu.has_workers()) {
    return std::nullopt;
  }
  choose_contexts(request);
  const auto problem = planned_problem(request);
  const auto placement = problem ? place(*problem) : Result<Placement>(propagate(problem.error()));
  if (!placement || !problem->split || problem->split->layers < 2) {  // the output counts
    return std::nullopt;
  }
  return Expected{objective(*problem, *placement), pass_cost(*problem, *placement, 1).seconds};
}

// "workers have whole layers: 12.3 tokens/s are expected so, and 8.1 tokens/s with experts there; prompts count too"
std::string why(const RequestCost& parts, const Expected& layers, bool experts, bool chosen) {
  const std::string begin = chosen ? "workers have whole layers: " : "workers have no whole layers: ";
  if (!parts.fits()) {
    return begin + "without that the model does not fit";
  }
  const std::string others = !parts.asks_workers ? "without workers"
                             : experts           ? "with experts there"
                                                 : "with feed-forward parts there";
  return fmt::format("{}{} tokens/s {} so, and {} tokens/s {}; prompts count too", begin,
                     speed_of(layers.token_seconds), chosen ? "are expected" : "would be expected",
                     speed_of(parts.token), others);
}

struct SplitChoice {
  bool layers = false;
  std::string why;  // a clause; empty: there was nothing to choose
};

SplitChoice choose_split(OpenRequest request, uint64_t fingerprint) {
  if (request.options.split != WorkerSplit::kAuto) {
    return {request.options.split == WorkerSplit::kLayers, {}};
  }
  if (request.workers.empty() || request.overrides.alike_workers || !may_have_layers(request.options, request.model)) {
    return {};
  }
  const auto layers = with_layers(with_found_layers(request, fingerprint));
  if (!layers) {
    return {};
  }
  choose_contexts(request);
  const RequestCost parts = request_cost(request, 0);
  const bool chosen = layers->objective * kLeastLayersGain < parts.objective;
  return {chosen, why(parts, *layers, request.model.experts > 0, chosen)};
}

}  // namespace

Result<LayersWorkers> divide_model(OpenRequest& request, uint64_t fingerprint) {
  SplitChoice choice = choose_split(request, fingerprint);
  if (!choice.layers) {
    request.split_remark = std::move(choice.why);
    return LayersWorkers();
  }
  auto workers = connect_layers(request, fingerprint);
  if (workers && !workers->empty()) {
    request.split_remark = std::move(choice.why);
    take_workers(*workers, request);
  }
  return workers;
}

}  // namespace hypura
