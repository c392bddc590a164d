#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "storage/uncached.h"

namespace hypura {

int open_uncached(const std::filesystem::path& path, unsigned mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd >= 0) {
    ::fcntl(fd, F_NOCACHE, 1);
  }
  return fd;
}

int open_nameless(const std::filesystem::path& /*folder*/, unsigned /*mode*/) {
  return -1;
}

int name_file(int /*fd*/, const std::filesystem::path& /*path*/) {
  return ENOTSUP;
}

int flush_uncached(int fd) {
  return ::fsync(fd) != 0 ? errno : 0;
}

}  // namespace hypura
