#include <unistd.h>

#include "cli/serve/spawn_alone.h"

namespace hypura {

int inherit_nothing(posix_spawn_file_actions_t& files) {
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  return 0;
}

}  // namespace hypura
