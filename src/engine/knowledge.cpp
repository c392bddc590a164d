#include "engine/knowledge.h"

#include "engine/saved_routing.h"
#include "residency/replay.h"
#include "support/units.h"

namespace hypura {

Knowledge recall(const Model& model, const MachineProfile* profile) {
  Knowledge knowledge;
  knowledge.profile = profile;
  knowledge.routing = saved_routing(model);
  if (knowledge.routing) {
    knowledge.hit_curve = hit_curve(*knowledge.routing);
    knowledge.hit_source = fmt::format("the routing of {} earlier tokens", knowledge.routing->decode_tokens());
  }
  return knowledge;
}

}  // namespace hypura
