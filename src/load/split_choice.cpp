#include "load/split_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// What a plan with whole layers on those workers that compute them costs.
struct LayersCost {
  RequestCost cost;
  std::vector<std::string> names;  // of those with layers
};

// None: they would be on nobody.
std::optional<LayersCost> with_layers(OpenRequest request) {
  if (!request.gpu.has_workers()) {
    return std::nullopt;
  }
  choose_contexts(request);
  const auto problem = planned_problem(request);
  const auto placement = problem ? place(*problem) : Result<Placement>(propagate(problem.error()));
  if (!placement || !problem->split || problem->split->layers < 2) {  // the output counts
    return std::nullopt;
  }
  return LayersCost{request_cost(request, *problem, *placement), request.names_with_layers()};
}

void calibrate(double factor, RequestCost& cost) {
  cost.objective *= factor;
  cost.token *= factor;
}

// Whether layers are workers'. Both become as they were measured to be; where one of them was not, that factor is taken
// to be the other's: most of it is how fast the machines are.
bool choose_layers(RequestCost& parts, RequestCost& layers) {
  if (parts.measured && layers.measured) {
    calibrate(*parts.measured, parts);
    calibrate(*layers.measured, layers);
  }
  const bool chosen = layers.objective * kLeastLayersGain < parts.objective;
  if (!parts.measured || !layers.measured) {  // shown is what the plan expects of the one that is chosen
    const double factor = (chosen ? layers : parts).measured.value_or(1);
    calibrate(factor, parts);
    calibrate(factor, layers);
  }
  return chosen;
}

// "; box:52525 has none: tokens are faster so"
std::string why_none(const OpenRequest& request, const std::vector<std::string>& names) {
  std::string text;
  for (const PlannedWorker& it : request.workers) {
    if (it.found.verdict && std::ranges::find(names, it.found.name) == names.end()) {
      const std::string obstacle = no_layers_of(it.found, request);
      text += fmt::format("; {} has none: {}", it.found.name, obstacle.empty() ? "tokens are faster so" : obstacle);
    }
  }
  return text;
}

// "workers have whole layers: 12.3 tokens/s are expected so, and 8.1 tokens/s with experts there; prompts count too"
std::string why(const OpenRequest& request, const RequestCost& parts, const LayersCost& layers, bool chosen) {
  const std::string begin = chosen ? "workers have whole layers: " : "workers have no whole layers: ";
  const std::string end = chosen ? why_none(request, layers.names) : "";
  if (!parts.fits()) {
    return begin + "without that the model does not fit" + end;
  }
  const std::string others = !parts.asks_workers         ? "without workers"
                             : request.model.experts > 0 ? "with experts there"
                                                         : "with feed-forward parts there";
  return fmt::format("{}{} tokens/s {} so, and {} tokens/s {}; prompts count too{}", begin, speed_of(layers.cost.token),
                     chosen ? "are expected" : "would be expected", speed_of(parts.token), others, end);
}

struct SplitChoice {
  bool layers = false;
  std::optional<std::vector<std::string>> names = {};  // of those that get some; none: all
  std::string why = {};                                // a clause; empty: there was nothing to choose
};

SplitChoice choose_split(OpenRequest request, uint64_t fingerprint) {
  if (request.options.split != WorkerSplit::kAuto) {
    return {request.options.split == WorkerSplit::kLayers};
  }
  if (request.workers.empty() || request.overrides.alike_workers || !may_have_layers(request.options, request.model)) {
    return {};
  }
  auto layers = with_layers(with_found_layers(request, fingerprint));
  if (!layers) {
    return {};
  }
  choose_contexts(request);
  RequestCost parts = request_cost(request, 0);
  const bool chosen = choose_layers(parts, layers->cost);
  return {chosen, layers->names, why(request, parts, *layers, chosen)};
}

}  // namespace

Result<LayersWorkers> divide_model(OpenRequest& request, uint64_t fingerprint) {
  SplitChoice choice = choose_split(request, fingerprint);
  if (!choice.layers) {
    request.split_remark = std::move(choice.why);
    return LayersWorkers();
  }
  auto workers = connect_layers(request, fingerprint, choice.names);
  if (workers && !workers->empty()) {
    request.split_remark = std::move(choice.why);
    take_workers(*workers, request);
  }
  return workers;
}

}  // namespace hypura
