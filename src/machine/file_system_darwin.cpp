#include <sys/mount.h>
#include <sys/param.h>

#include <cerrno>

#include "machine/file_system.h"
#include "storage/open.h"
#include "support/fail.h"

namespace hypura {

Result<std::string> file_system_of(const std::filesystem::path& path) {
  struct statfs system {};
  if (statfs(path.c_str(), &system) != 0) {
    return fail(ErrorCode::kIo, "cannot access '{}': {}; check the path and its permissions", path.string(),
                errno_text(errno));
  }
  return fmt::format("{} on {}, id {:x}.{:x}", system.f_fstypename, system.f_mntfromname,
                     static_cast<uint32_t>(system.f_fsid.val[0]), static_cast<uint32_t>(system.f_fsid.val[1]));
}

}  // namespace hypura
