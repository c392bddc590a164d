#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/profile/profile_text.h"
#include "cli/progress_bar.h"
#include "hypura/profile.h"
#include "machine/profile_json.h"
#include "support/fail.h"

namespace hypura {

Result<int> profile_command(const ProfileCommandOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  const auto profile = [&] {
    ProgressBar bar(notes);
    ProfileOptions request;
    request.path = options.path;
    request.force = options.force;
    request.again = options.again;
    request.gpu = options.gpu;
    request.progress = [&bar](double share, std::string_view what) { bar.show(share, fmt::format("{:<21}", what)); };
    return machine_profile(request);
  }();
  if (!profile) {
    return propagate(profile.error());
  }
  if (options.json) {
    out.write(profile_to_json(*profile).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    out.write(profile_text(*profile));
  }
  return out.status().map([] { return 0; });
}

}  // namespace hypura
