#include "plan/draft_worth.h"

#include <fmt/format.h>

#include <algorithm>

#include "draft/draft_length.h"
#include "draft/drafting.h"
#include "placement/placement.h"
#include "plan/gpu_layers.h"
#include "support/units.h"

namespace hypura {

namespace {

// So good that a draft model is left out only where it is of no use to anybody.
constexpr double kGoodAcceptance = 0.9;

// With the length of drafts that gives the most; none is one of the choices.
double drafted_rate(const PlacementProblem& problem, const Placement& placement, double draft_seconds) {
  const uint32_t most = std::min(kMostDrafted, placement.ubatch - 1);
  double best = 0;
  for (uint32_t drafted = 0; drafted <= most; ++drafted) {
    const double seconds = pass_cost(problem, placement, 1 + drafted).seconds + drafted * draft_seconds;
    best = std::max(best, expected_tokens(kGoodAcceptance, drafted) / seconds);
  }
  return best;
}

}  // namespace

std::optional<DraftWorth> draft_worth(PlacementProblem problem, const DraftCost& cost) {
  const auto whole = place(problem);
  if (!whole || cost.bytes >= problem.budget) {
    return std::nullopt;
  }
  DraftWorth worth;
  worth.without = 1 / pass_cost(problem, *whole, 1).seconds;
  problem.budget -= cost.bytes;
  const auto rest = place(problem);
  if (!rest) {
    return std::nullopt;
  }
  worth.with = drafted_rate(problem, *rest, cost.seconds);
  return worth;
}

std::optional<DraftWorth> draft_worth(const OpenRequest& request, const std::filesystem::path& file, uint64_t bytes) {
  OpenRequest planned = request;
  const auto problem = planned_problem(planned);
  const auto draft = open_model(file);
  if (!problem || !draft) {
    return std::nullopt;
  }
  const EngineOptions as_it_comes;
  const RunHistory machine{request.history.profile, {}, {}, {}, {}};
  const auto of_draft = placement_problem({as_it_comes, *draft, bytes, request.threads, request.context, machine});
  return of_draft ? draft_worth(*problem, {bytes, of_draft->resident.first}) : std::nullopt;
}

std::string left_out_sentence(const std::filesystem::path& file, uint64_t bytes, const DraftWorth& worth) {
  return fmt::format(
      "the draft model {} is left out: its {} of the memory are worth more to the model itself; with drafts {:.2g} % "
      "fewer tokens/s are expected, even if nine of ten are accepted",
      file.string(), format_bytes(bytes), 100 * (1 - worth.with / worth.without));
}

}  // namespace hypura
