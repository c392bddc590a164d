#include "cli/inspect/page_file.h"

#include "support/atomic_file.h"
#include "support/fail.h"

namespace hypura {

Status write_page(const std::filesystem::path& path, std::string_view page, const Model& model) {
  std::error_code error;
  for (const ModelFile& file : model.files) {
    if (std::filesystem::equivalent(path, file.path, error)) {
      return fail(ErrorCode::kUsage, "--html {} would overwrite the model; name another file", path.string());
    }
  }
  return replace_file(path, page);
}

}  // namespace hypura
