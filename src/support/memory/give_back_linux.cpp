#include <sys/mman.h>

#include "support/memory/give_back.h"

namespace hypura {

bool give_pages_back(std::span<std::byte> pages) {
  if (madvise(pages.data(), pages.size(), MADV_DONTNEED) == 0) {
    return true;
  }
  // Locked ones (mlockall) are not taken before they are unlocked.
  return munlock(pages.data(), pages.size()) == 0 && madvise(pages.data(), pages.size(), MADV_DONTNEED) == 0;
}

}  // namespace hypura
