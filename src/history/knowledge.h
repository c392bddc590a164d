// What was learned before: of this machine by `hypura profile`, of this model by earlier runs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hypura/profile.h"
#include "hypura/routing.h"
#include "model/model.h"

namespace hypura {

// How much longer tokens took than plans say, by the way of running (history/decode_pace.h).
using Paces = std::map<std::string, double>;

// Any of it may be missing.
struct Knowledge {
  const MachineProfile* profile = nullptr;
  // Of each MoE layer the hit rate with 0..experts cached: [layer * (experts + 1) + cached], as hit_curve() gives it
  // from a routing trace; empty: unknown.
  std::vector<double> hit_curve;
  std::optional<RoutingTrace> routing;  // that the curve is of
  std::string hit_source;               // where the curve comes from, for people: "the routing of 512 earlier tokens"
  Paces paces;
};

// `profile` may be null; it must outlive the result. The curve is that of the model's saved routing, if there is one.
Knowledge recall(const Model& model, const MachineProfile* profile);

}  // namespace hypura
