// Memory that is not needed for now.
#pragma once

#include <cstddef>
#include <span>

namespace hypura {

// Gives these whole pages of an anonymous mapping of ours back to the system: they stay mapped, and are zero when they
// are used again. False, with errno, where the system refuses.
bool give_pages_back(std::span<std::byte> pages);

}  // namespace hypura
