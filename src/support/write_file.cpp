#include "support/write_file.h"

#include <fstream>

#include "support/fail.h"

namespace hypura {

Status write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    return fail(ErrorCode::kIo, "cannot write {}; check that its folder exists and has free space", path.string());
  }
  return {};
}

}  // namespace hypura
