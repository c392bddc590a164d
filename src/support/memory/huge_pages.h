// Huge pages, as far as the system has them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hypura {

inline constexpr uint64_t kHugePage = 2 << 20;

// Asks for huge pages wherever a whole one lies in these bytes, best before they are written; a system without them
// does nothing.
void advise_huge_pages(std::byte* address, uint64_t bytes);

// The same for all memory of this process, but that of files, in mappings of at least `least` bytes: for buffers that a
// library has allocated and not written yet.
void advise_huge_pages_in_large_mappings(uint64_t least);

}  // namespace hypura
