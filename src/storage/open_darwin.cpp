#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "storage/open.h"

namespace hypura {

// macOS has no O_DIRECT: F_NOCACHE keeps what we read out of the page cache, and aligned reads then go to our memory
// without a copy. Read-ahead would only fetch bytes that nobody asked for.
int open_direct(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return -1;
  }
  if (::fcntl(fd, F_NOCACHE, 1) == -1 || ::fcntl(fd, F_RDAHEAD, 0) == -1) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

}  // namespace hypura
