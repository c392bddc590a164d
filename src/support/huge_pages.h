// Huge pages, as far as the system has them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hypura {

inline constexpr uint64_t kHugePage = 2 << 20;

// Asks for huge pages in this mapping; a system without them does nothing.
void advise_huge_pages(std::byte* address, uint64_t bytes);

}  // namespace hypura
