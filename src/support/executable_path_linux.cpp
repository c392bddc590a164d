#include "support/executable_path.h"
#include "support/fail.h"

namespace hypura {

Result<std::filesystem::path> executable_path() {
  std::error_code error;
  auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    return fail(ErrorCode::kIo, "/proc/self/exe could not be read: {}", error.message());
  }
  return path;
}

}  // namespace hypura
