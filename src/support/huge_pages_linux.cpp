#include <sys/mman.h>

#include "support/huge_pages.h"

namespace hypura {

void advise_huge_pages(std::byte* address, uint64_t bytes) {
  madvise(address, bytes, MADV_HUGEPAGE);
}

}  // namespace hypura
