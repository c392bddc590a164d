#include <sys/mman.h>

#include <fstream>
#include <sstream>
#include <string>

#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

void advise_huge_pages(std::byte* address, uint64_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  const uint64_t first = round_up(begin, kHugePage);
  const uint64_t end = (begin + bytes) / kHugePage * kHugePage;
  if (first < end) {
    madvise(address + (first - begin), end - first, MADV_HUGEPAGE);
  }
}

void advise_huge_pages_in_large_mappings(uint64_t least) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // proc_pid_maps(5): begin-end, permissions, offset, device, inode; a name where it is a file or something special.
    std::istringstream fields(line);
    uint64_t begin = 0;
    uint64_t end = 0;
    char dash = 0;
    std::string permissions, offset, device, inode, name;
    fields >> std::hex >> begin >> dash >> end >> permissions >> offset >> device >> inode >> name;
    if (permissions == "rw-p" && inode == "0" && (name.empty() || name == "[heap]") && end - begin >= least) {
      advise_huge_pages(reinterpret_cast<std::byte*>(begin), end - begin);
    }
  }
}

}  // namespace hypura
