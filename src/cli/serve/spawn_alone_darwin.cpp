#include "cli/serve/spawn_alone.h"

namespace hypura {

int inherit_nothing(posix_spawn_file_actions_t& /*files*/) {
  return POSIX_SPAWN_CLOEXEC_DEFAULT;
}

}  // namespace hypura
