// What is known before a model is opened: of this machine by `hypura profile`, of this model by earlier runs; and what
// a run leaves behind for later ones.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "history/calibration.h"
#include "hypura/profile.h"
#include "hypura/result.h"
#include "hypura/routing.h"
#include "model/model.h"

namespace hypura {

// Any of it may be missing.
struct RunHistory {
  const MachineProfile* profile = nullptr;
  // Of each MoE layer the hit rate with 0..experts cached: [layer * (experts + 1) + cached], as lasting_hit_curve()
  // gives it from a routing trace; empty: unknown.
  std::vector<double> hit_curve;
  std::optional<RoutingTrace> routing;  // that the curves are of
  std::string hit_source;               // where the curve comes from, for people: "the routing of 512 earlier tokens"
  CalibrationFactors calibration;
  std::vector<double> passing_curve = {};  // as hit_curve, from lasting_passing_curve()
};

// `profile` may be null; it must outlive the result. The curve is that of the model's saved routing, if there is one.
RunHistory load_history(const Model& model, const MachineProfile* profile);

// The history of one run; what it did not measure is empty.
struct RunRecord {
  RoutingTrace routing;                         // saved from kFewestSavedTokens decode tokens on
  std::optional<double> disk_bytes_per_second;  // sustained (sustained_rate.h)
  std::optional<double> calibration;            // factor (calibration.h)
};

// In a calibration key, between how this machine computes and the workers that compute with it.
inline constexpr const char* kWorkersInKey = ", workers ";

// What the record is of.
struct RunConditions {
  std::filesystem::path path;   // of the model: of its disk
  std::string profiled_at;      // when the profile was measured that the plan was made from; empty: there was none
  std::string calibration_key;  // the plan's
  std::string way;              // the same but for workers, by which no bit of a result differs
  bool alone = true;            // no worker computed: how long tokens took tells of this machine's profile
};

// Saves all that can be. What a disk sustains is reckoned with from then on, so that factors of dense models with
// workers, which were learned without it, are forgotten. Fails with the first error of those that save
// (saved_routing.h, sustained_rate.h, calibration.h).
Status save_history(const Model& model, const RunConditions& conditions, RunRecord record);

}  // namespace hypura
