#include <fcntl.h>

#include "storage/open.h"

namespace hypura {

int open_direct(const char* path) {
  return ::open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
}

}  // namespace hypura
