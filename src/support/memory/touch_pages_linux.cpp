#include <sys/mman.h>

#include "support/memory/touch_pages.h"

namespace hypura {

bool touch_pages(std::span<std::byte> pages) {
#ifdef MADV_POPULATE_WRITE  // the C library knows it since 2.35, the kernel since 5.14
  constexpr int kPopulate = MADV_POPULATE_WRITE;
#else
  constexpr int kPopulate = 23;
#endif
  return madvise(pages.data(), pages.size(), kPopulate) == 0;
}

}  // namespace hypura
