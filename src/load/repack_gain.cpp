#include <algorithm>

#include "backend/stream_layout.h"
#include "hypura/engine.h"
#include "hypura/repack.h"
#include "plan/machine_speeds.h"
#include "store/repacked_copy.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// What keeps a copy from being read at all; empty: nothing.
std::string why_not_read(bool writable, const Plan& plan) {
  if (!writable) {
    return "ggml has no faster layout for this model's types on this processor";
  }
  if (plan.device) {
    return fmt::format("{} computes it here, and a copy is for processors alone", plan.device->name);
  }
  if (plan.mode() == Mode::kResident) {
    return fmt::format("it fits into {} of memory, where it is repacked when it is loaded", format_bytes(plan.budget));
  }
  return {};
}

bool gains(double before, double after) {
  return after > 0 && 1 - after / before >= kLeastRepackGain;
}

}  // namespace

Result<RepackGain> predict_repack_gain(const EngineOptions& options, const MachineProfile* profile) {
  EngineOptions without = options;
  without.repacked = false;
  const auto model = open_model(options.model);
  if (!model) {
    return propagate(model.error());
  }
  auto plan = plan_model(*model, without, profile);
  if (!plan) {
    return propagate(plan.error());
  }
  RepackGain gain;
  gain.plain = std::move(*plan);
  gain.tokens_per_second = gain.plain.repacked_tokens_per_second;
  gain.prefill512_seconds = gain.plain.repacked_prefill512_seconds;
  for (const ModelFile& file : model->files) {
    gain.copy_bytes += repacked_label_offset(file.size) + kRepackedLabelBytes;
  }
  gain.assumed = MachineSpeeds(profile, 1).assumption();
  gain.writable = std::ranges::any_of(model->tensors, is_repacked);
  gain.nothing = why_not_read(gain.writable, gain.plain);
  const Prediction& plain = gain.plain.prediction;
  const bool faster = gain.tokens_per_second > 0 && gains(plain.decode_seconds, 1 / gain.tokens_per_second);
  if (gain.nothing.empty() && !faster && !gains(plain.prefill512_seconds, gain.prefill512_seconds)) {
    gain.nothing = fmt::format("tokens and prompts are predicted to take as long with it as without, in {} of memory{}",
                               format_bytes(gain.plain.budget), gain.assumed);
  }
  return gain;
}

}  // namespace hypura
