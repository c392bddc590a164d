// The state of a server's memory as JSON.
#pragma once

#include "server/json/json.h"
#include "server/memory_keeper.h"

namespace hypura {

Json memory_json(const MemoryState& state);
Json memory_json(const MemoryKeeperState& state);

}  // namespace hypura
