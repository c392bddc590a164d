#include "residency/hot_set.h"

#include <algorithm>
#include <cassert>

#include "residency/replay/visits.h"

namespace hypura {

std::vector<LayerExpert> hot_set(const RoutingTrace& trace, const std::vector<uint32_t>& quotas,
                                 const std::vector<uint32_t>& skipped) {
  assert(quotas.size() == trace.layers && (skipped.empty() || skipped.size() == trace.layers));
  struct Counted {
    LayerExpert it;
    uint64_t uses = 0;
  };
  std::vector<Counted> all;
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    for (uint32_t expert = 0; expert < trace.experts; ++expert) {
      all.push_back({{layer, expert}, 0});
    }
  }
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    for (const Use& use : visit.uses) {
      all[size_t{visit.layer} * trace.experts + use.expert].uses += use.rows;
    }
  }
  std::ranges::stable_sort(all, std::ranges::greater(), &Counted::uses);
  std::vector<uint32_t> skip = skipped.empty() ? std::vector<uint32_t>(trace.layers) : skipped;
  std::vector<uint32_t> left = quotas;
  std::vector<LayerExpert> hot;
  for (const Counted& counted : all) {
    if (skip[counted.it.layer] > 0) {
      --skip[counted.it.layer];
    } else if (counted.uses > 0 && left[counted.it.layer] > 0) {
      --left[counted.it.layer];
      hot.push_back(counted.it);
    }
  }
  return hot;
}

}  // namespace hypura
