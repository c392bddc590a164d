#include "plan/expert_routing.h"

#include <algorithm>

#include "placement/popularity.h"

namespace hypura {

namespace {

// By slots, the mean of the group's layers: slots are divided evenly among them. Empty where `curve` is not that of
// such a model.
std::vector<double> mean_of_group(const std::vector<double>& curve, const StreamLayout& layout,
                                  const std::vector<size_t>& groups, size_t group, uint32_t experts) {
  const size_t width = layout.experts + 1;
  if (curve.size() != layout.expert_layers.size() * width) {
    return {};
  }
  std::vector<double> mean(experts + 1);
  const auto layers = static_cast<double>(std::ranges::count(groups, group));
  for (size_t layer = 0; layer < groups.size(); ++layer) {
    for (size_t q = 0; groups[layer] == group && q <= experts; ++q) {
      mean[q] += curve[layer * width + q] / layers;
    }
  }
  return mean;
}

}  // namespace

void add_routing(const RunHistory& history, const StreamLayout& layout, const std::vector<size_t>& groups,
                 size_t number, ExpertGroup& group) {
  const std::vector<double> hits = mean_of_group(history.hit_curve, layout, groups, number, group.experts);
  group.popularity =
      hits.empty() ? prior_popularity(group.experts, group.used) : popularity_from_hits(hits, group.used);
  for (const double hit : mean_of_group(history.passing_curve, layout, groups, number, group.experts)) {
    group.passing_misses.push_back(group.used * (1 - hit));
  }
}

}  // namespace hypura
