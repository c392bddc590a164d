#include <unistd.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "hypura/pack.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr int kFatalPress = 3;  // the first Ctrl-C removes what was written

}  // namespace

Result<int> pack_command(const PackCommandOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  const auto packed = [&] {
    const InterruptGuard interrupt(kFatalPress, AlsoOn::kTermination);
    ProgressBar bar(notes);
    return pack_model(options.model, [&](double share) {
      bar.show(share, "packing");
      return !interrupt.pressed();
    });
  }();
  if (!packed && packed.error().code == ErrorCode::kCancelled) {
    notes.write(fmt::format("hypura: {}\n", packed.error().message));
    return InterruptGuard::exit_code();
  }
  if (!packed) {
    return propagate(packed.error());
  }
  for (const std::filesystem::path& file : packed->files) {
    out.write(file.string() + "\n");
  }
  out.write(fmt::format("{} of {} are in this processor's fastest layout; it is read from now on\n",
                        format_bytes(packed->packed_bytes), format_bytes(packed->bytes)));
  return out.status().map([] { return 0; });
}

}  // namespace hypura
