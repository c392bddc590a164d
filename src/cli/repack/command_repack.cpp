#include <unistd.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "hypura/repack.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr int kFatalPress = 3;  // the first Ctrl-C removes what was written

}  // namespace

Result<int> repack_command(const RepackCommandOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
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
