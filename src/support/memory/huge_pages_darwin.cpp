#include "support/memory/huge_pages.h"

namespace hypura {

// macOS on Apple Silicon has 16 KiB pages and no way to ask for larger ones.
void advise_huge_pages(std::byte* /*address*/, uint64_t /*bytes*/) {}

void advise_huge_pages_in_large_mappings(uint64_t /*least*/) {}

}  // namespace hypura
