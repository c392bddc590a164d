#include <unistd.h>

#include "cli/commands.h"
#include "cli/kv/kv_report.h"
#include "cli/output.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

Result<std::string> clear_kv(const KvOptions& options, const std::vector<KvFolder>& all) {
  const std::vector<KvFolder> folders = options.model ? kv_of_model(all, *options.model) : all;
  if (options.model && folders.empty()) {
    return fail(ErrorCode::kUsage, "nothing is kept of {}; `hypura kv list` shows what is", options.model->string());
  }
  uint64_t bytes = 0;
  for (const KvFolder& it : folders) {
    bytes += it.bytes;
  }
  return remove_kv(folders).map([&] { return fmt::format("{} removed\n", format_bytes(bytes)); });
}

}  // namespace

Result<int> kv_command(const KvOptions& options) {
  const auto root = kv_root();
  if (!root) {
    return propagate(root.error());
  }
  const std::vector<KvFolder> folders = list_kv(*root);
  Output out(STDOUT_FILENO, "standard output");
  if (options.what == KvOptions::What::kClear) {
    const auto cleared = clear_kv(options, folders);
    if (!cleared) {
      return propagate(cleared.error());
    }
    out.write(*cleared);
  } else if (options.json) {
    out.write(kv_to_json(folders, *root).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    out.write(kv_text(folders, *root));
  }
  return out.status().map([] { return 0; });
}

}  // namespace hypura
