#include "history/run_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "history/saved_routing.h"
#include "history/sustained_rate.h"
#include "profiling/profile_target.h"
#include "residency/replay/replay.h"
#include "support/units.h"

namespace hypura {

RunHistory load_history(const Model& model, const MachineProfile* profile) {
  RunHistory history;
  history.profile = profile;
  if (profile != nullptr) {
    history.calibration = load_calibration(model, profile->measured_at);
  }
  history.routing = saved_routing(model);
  if (history.routing) {
    history.hit_curve = lasting_hit_curve(*history.routing);
    history.passing_curve = lasting_passing_curve(*history.routing);
    history.hit_source = fmt::format("the routing of {} earlier tokens", history.routing->decode_tokens());
  }
  return history;
}

namespace {

// Tokens that took half or twice the predicted time say more of the profile than of the model.
Status doubt_profile(const RunConditions& conditions, double factor) {
  if (std::max(factor, 1 / factor) < MachineProfile::kContradiction) {
    return {};
  }
  return change_cached_profile(conditions.path, [&](MachineProfile& profile) {
    profile.contradicted_by = profile.measured_at == conditions.profiled_at ? factor : profile.contradicted_by;
  });
}

}  // namespace

Status save_history(const Model& model, const RunConditions& conditions, RunRecord record) {
  Status result;
  const auto note = [&result](Status status) {
    if (result && !status) {
      result = std::move(status);
    }
  };
  if (record.routing.decode_tokens() >= kFewestSavedTokens) {
    note(save_routing(model, std::move(record.routing)));
  }
  if (record.disk_bytes_per_second) {
    note(save_sustained_rate(conditions.path, *record.disk_bytes_per_second));
    note(forget_calibration(model, conditions.profiled_at, conditions.way + kWorkersInKey));
  }
  if (record.calibration && !conditions.profiled_at.empty()) {
    note(save_calibration(model, conditions.profiled_at, conditions.calibration_key, *record.calibration));
    if (conditions.alone) {
      note(doubt_profile(conditions, *record.calibration));
    }
  }
  return result;
}

}  // namespace hypura
