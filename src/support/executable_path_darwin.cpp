#include <mach-o/dyld.h>

#include <string>

#include "support/executable_path.h"
#include "support/fail.h"

namespace hypura {

Result<std::filesystem::path> executable_path() {
  uint32_t size = 0;
  _NSGetExecutablePath(nullptr, &size);
  std::string name(size, '\0');
  if (_NSGetExecutablePath(name.data(), &size) != 0) {
    return fail(ErrorCode::kInternal, "the system does not report this program's path");
  }
  std::error_code error;
  auto path = std::filesystem::canonical(name.c_str(), error);
  if (error) {
    return fail(ErrorCode::kIo, "{}: {}", name.c_str(), error.message());
  }
  return path;
}

}  // namespace hypura
