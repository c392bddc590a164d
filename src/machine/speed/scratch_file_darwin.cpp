#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "machine/speed/scratch_file.h"

namespace hypura {

void bypass_page_cache(int fd) {
  ::fcntl(fd, F_NOCACHE, 1);
}

// fsync leaves the bytes in the drive's own cache; not every file system knows the full way.
int sync_data(int fd) {
  return ::fcntl(fd, F_FULLFSYNC) != -1 || ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace hypura
