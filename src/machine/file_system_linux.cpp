#include "machine/file_system_linux.h"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "machine/file_system.h"
#include "machine/mounts_linux.h"
#include "storage/open.h"
#include "support/fail.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

bool contains(const fs::path& folder, const fs::path& path) {
  const auto [end, at] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end() || (*end == "" && std::next(end) == folder.end());
}

}  // namespace

std::string mount_of(const fs::path& root, const fs::path& path) {
  Mount best;
  for (const Mount& mount : read_mounts(root)) {
    // Of equal ones the later hides the earlier.
    if (contains(mount.point, path) && mount.point.size() >= best.point.size()) {
      best = mount;
    }
  }
  return best.point.empty() ? "" : fmt::format("{} on {}", best.type, best.source);
}

Result<std::string> file_system_of(const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  struct stat status {};
  struct statfs system {};
  if (error || stat(real.c_str(), &status) != 0 || statfs(real.c_str(), &system) != 0) {
    return fail(ErrorCode::kIo, "cannot access '{}': {}; check the path and its permissions", path.string(),
                error ? error.message() : errno_text(errno));
  }
  std::string mount = mount_of({}, real);
  if (mount.empty()) {
    mount = fmt::format("type {:x}", system.f_type);
  }
  uint64_t id = 0;
  static_assert(sizeof(id) == sizeof(system.f_fsid));
  std::memcpy(&id, &system.f_fsid, sizeof(id));
  return fmt::format("{}, id {}:{}.{:x}", mount, major(status.st_dev), minor(status.st_dev), id);
}

}  // namespace hypura
