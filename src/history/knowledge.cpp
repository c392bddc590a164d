#include "history/knowledge.h"

#include <fmt/format.h>

#include "history/decode_pace.h"
#include "history/saved_routing.h"
#include "residency/replay.h"
#include "support/units.h"

namespace hypura {

Knowledge recall(const Model& model, const MachineProfile* profile) {
  Knowledge knowledge;
  knowledge.profile = profile;
  if (profile != nullptr) {
    knowledge.paces = saved_paces(model, profile->measured_at);
  }
  knowledge.routing = saved_routing(model);
  if (knowledge.routing) {
    knowledge.hit_curve = hit_curve(*knowledge.routing);
    knowledge.hit_source = fmt::format("the routing of {} earlier tokens", knowledge.routing->decode_tokens());
  }
  return knowledge;
}

}  // namespace hypura
