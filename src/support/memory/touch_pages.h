// Memory that is there when it is used.
#pragma once

#include <cstddef>
#include <span>

namespace hypura {

// Has the system provide these whole pages of ours, as writing to them would, without changing what is in them; beside
// others who write there. False where it cannot: it is no error, they come when they are written.
bool touch_pages(std::span<std::byte> pages);

}  // namespace hypura
