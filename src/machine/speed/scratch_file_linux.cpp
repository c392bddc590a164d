#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "machine/speed/scratch_file.h"

namespace hypura {

void bypass_page_cache(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) {
    ::fcntl(fd, F_SETFL, flags | O_DIRECT);
  }
}

int sync_data(int fd) {
  return ::fdatasync(fd) == 0 ? 0 : errno;
}

}  // namespace hypura
