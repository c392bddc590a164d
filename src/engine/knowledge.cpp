#include "engine/knowledge.h"

#include "engine/saved_routing.h"
#include "residency/replay.h"
#include "support/units.h"

namespace hypura {

Knowledge recall(const Model& model, const MachineProfile* profile) {
  Knowledge knowledge;
  knowledge.profile = profile;
  if (const auto trace = saved_routing(model)) {
    knowledge.hit_curve = hit_curve(*trace);
    knowledge.hit_source = fmt::format("the routing of {} earlier tokens", trace->decode_tokens());
  }
  return knowledge;
}

}  // namespace hypura
