#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "storage/uncached.h"

namespace hypura {

int open_uncached(const std::filesystem::path& path, unsigned mode) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const int fd = ::open(path.c_str(), kFlags | O_DIRECT, mode);
  // Some file systems have no direct writes; flush_uncached drops their pages instead.
  return fd < 0 && errno == EINVAL ? ::open(path.c_str(), kFlags, mode) : fd;
}

namespace {

// Where the kernel shows the file behind a descriptor.
std::string shown_at(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

}  // namespace

int open_nameless(const std::filesystem::path& folder, unsigned mode) {
  constexpr int kFlags = O_WRONLY | O_TMPFILE | O_CLOEXEC;
  int fd = ::open(folder.c_str(), kFlags | O_DIRECT, mode);
  fd = fd < 0 && errno == EINVAL ? ::open(folder.c_str(), kFlags, mode) : fd;
  if (fd >= 0 && ::access(shown_at(fd).c_str(), F_OK) != 0) {  // it could not be given a name
    ::close(fd);
    return -1;
  }
  return fd;
}

int name_file(int fd, const std::filesystem::path& path) {
  return ::linkat(AT_FDCWD, shown_at(fd).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

int flush_uncached(int fd) {
  if (::fdatasync(fd) != 0) {
    return errno;
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return 0;
}

}  // namespace hypura
