#include <sys/mman.h>

#include "support/memory/give_back.h"

namespace hypura {

// madvise() there leaves the pages with the process until others want them. A new mapping in the place of the old one
// takes them at once.
bool give_pages_back(std::span<std::byte> pages) {
  return mmap(pages.data(), pages.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
         MAP_FAILED;
}

}  // namespace hypura
