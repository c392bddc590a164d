#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fstream>
#include <sstream>
#include <string>

#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {
namespace {

// Whether the kernel was asked for huge pages at this address: flag "hg" of its mapping.
bool is_advised(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    uint64_t begin = 0;
    uint64_t end = 0;
    char dash = 0;
    if (fields >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = at >= begin && at < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return (line + ' ').find(" hg ") != std::string::npos;
    }
  }
  return false;
}

// Memory between two stretches that cannot be accessed: the kernel would make one mapping of it and a neighbour.
class Mapping {
 public:
  explicit Mapping(uint64_t bytes)
      : bytes_(bytes), at_(mmap(nullptr, bytes + 2 * kMiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    mprotect(data(), bytes, PROT_READ | PROT_WRITE);
  }
  ~Mapping() { munmap(at_, bytes_ + 2 * kMiB); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(at_) + kMiB; }

 private:
  uint64_t bytes_;
  void* at_;
};

TEST(HugePages, AreAskedForInsideWhatIsGiven) {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    GTEST_SKIP() << "this kernel has no transparent huge pages";
  }
  const Mapping mapping(16 * kMiB);
  advise_huge_pages(mapping.data() + 1000, 8 * kMiB);  // no multiple of a page
  EXPECT_TRUE(is_advised(mapping.data() + 4 * kMiB));
  EXPECT_FALSE(is_advised(mapping.data() + 15 * kMiB));
  advise_huge_pages(mapping.data() + 12 * kMiB, 1000);  // too little for one
  EXPECT_FALSE(is_advised(mapping.data() + 12 * kMiB));
  EXPECT_FALSE(is_advised(mapping.data() + 15 * kMiB));
}

TEST(HugePages, AreAskedForInLargeMappingsOnly) {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    GTEST_SKIP() << "this kernel has no transparent huge pages";
  }
  const Mapping large(512 * kMiB);
  const Mapping small(8 * kMiB);
  advise_huge_pages_in_large_mappings(256 * kMiB);
  EXPECT_TRUE(is_advised(large.data() + 100 * kMiB));
  EXPECT_FALSE(is_advised(small.data() + 4 * kMiB));
}

}  // namespace
}  // namespace hypura
