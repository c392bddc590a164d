#include "cli/demo_model.h"

#include "support/executable_path.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr const char* kDemoModel = "hypura-stories-moe.gguf";

}  // namespace

Result<std::filesystem::path> find_demo_model(const std::filesystem::path& executable) {
  const auto folder = executable.parent_path();
  const auto in_source = (folder / "../../../models" / kDemoModel).lexically_normal();
  const auto installed = (folder / "../share/hypura/models" / kDemoModel).lexically_normal();
  for (const auto& path : {in_source, installed}) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) {
      return path;
    }
  }
  return fail(ErrorCode::kUsage, "no MODEL given, and the demo model is at neither {} nor {}; name a GGUF file",
              in_source.string(), installed.string());
}

Result<std::filesystem::path> model_or_demo(const std::filesystem::path& named) {
  return named.empty() ? executable_path().and_then(find_demo_model) : named;
}

}  // namespace hypura
