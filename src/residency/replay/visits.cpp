#include "residency/replay/visits.h"

#include <algorithm>

namespace hypura {

Visits::Visits(const RoutingTrace& trace) {
  uses_.reserve(trace.chosen.size());  // never more, so the spans stay valid
  chosen_.reserve(trace.chosen.size());
  std::vector<uint32_t> rows(trace.experts);
  std::vector<uint16_t> asked;
  uint64_t first = 0;
  for (const RoutingPass& pass : trace.passes) {
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      const size_t from = chosen_.size();
      asked.clear();
      for (uint64_t token = first; token < first + pass.tokens; ++token) {
        const auto ids = std::span(trace.chosen).subspan((token * trace.layers + layer) * trace.used, trace.used);
        bool evaluated = false;
        for (uint16_t expert : ids) {
          if (expert != RoutingTrace::kNone) {
            evaluated = true;
            if (rows[expert]++ == 0) {
              asked.push_back(expert);
            }
          }
        }
        if (evaluated) {
          chosen_.insert(chosen_.end(), ids.begin(), ids.end());
        }
      }
      if (asked.empty()) {
        continue;
      }
      std::sort(asked.begin(), asked.end());
      const size_t begin = uses_.size();
      for (uint16_t expert : asked) {
        uses_.push_back({expert, rows[expert]});
        rows[expert] = 0;
      }
      visits_.push_back({layer,
                         pass.decode,
                         std::span(uses_).subspan(begin),
                         {std::span(chosen_).subspan(from), trace.used, pass.decode}});
    }
    first += pass.tokens;
  }
}

}  // namespace hypura
