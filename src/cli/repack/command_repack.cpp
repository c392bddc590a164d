#include <unistd.h>

#include <optional>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "cli/repack/repack_text.h"
#include "hypura/engine.h"
#include "hypura/profile.h"
#include "hypura/repack.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr int kFatalPress = 3;  // the first Ctrl-C removes what was written

// Says what the copy will give. Fails where that is nothing, or cannot be told, unless it is forced.
Status tell_gain(const RepackCommandOptions& options, Output& notes) {
  EngineOptions engine;
  engine.model = options.model;
  engine.memory = options.memory;
  ProfileOptions where;
  where.path = options.model;
  const std::optional<MachineProfile> profile = cached_profile(where);
  const auto gain = predict_repack_gain(engine, profile ? &*profile : nullptr);
  if (!gain) {
    return options.force ? Status() : propagate(gain.error());
  }
  if (!gain->nothing.empty() && !options.force) {
    return fail(ErrorCode::kUsage, "{}", repack_refusal(options.model, *gain));
  }
  notes.write(gain->nothing.empty() ? fmt::format("hypura: {}\n", repack_gain_text(options.model, *gain))
                                    : fmt::format("hypura: a repacked copy gives nothing here: {}\n", gain->nothing));
  return {};
}

}  // namespace

Result<int> repack_command(const RepackCommandOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  if (Status told = tell_gain(options, notes); !told) {
    return propagate(told.error());
  }
  const auto repacked = [&] {
    const InterruptGuard interrupt(kFatalPress, AlsoOn::kTermination);
    ProgressBar bar(notes);
    return repack_model(options.model, [&](double share) {
      bar.show(share, "repacking");
      return !interrupt.pressed();
    });
  }();
  if (!repacked && repacked.error().code == ErrorCode::kCancelled) {
    notes.write(fmt::format("hypura: {}\n", repacked.error().message));
    return InterruptGuard::exit_code();
  }
  if (!repacked) {
    return propagate(repacked.error());
  }
  for (const std::filesystem::path& file : repacked->files) {
    out.write(file.string() + "\n");
  }
  out.write(fmt::format("{} of {} are in this processor's fastest layout; every command reads the copy now\n",
                        format_bytes(repacked->repacked_bytes), format_bytes(repacked->bytes)));
  return out.status().map([] { return 0; });
}

}  // namespace hypura
