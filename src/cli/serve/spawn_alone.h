// A process that inherits no file but what it is given.
#pragma once

#include <spawn.h>

namespace hypura {

// Adds to `files`, as the last of them, what keeps all else from being inherited; gives the flag that does, or 0.
int inherit_nothing(posix_spawn_file_actions_t& files);

}  // namespace hypura
