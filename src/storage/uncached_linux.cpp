#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "storage/uncached.h"

namespace hypura {

int open_uncached(const std::filesystem::path& path) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const int fd = ::open(path.c_str(), kFlags | O_DIRECT, 0644);
  // Some file systems have no direct writes; settle_uncached drops their pages instead.
  return fd < 0 && errno == EINVAL ? ::open(path.c_str(), kFlags, 0644) : fd;
}

int settle_uncached(int fd) {
  if (::fdatasync(fd) != 0) {
    return errno;
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return 0;
}

}  // namespace hypura
