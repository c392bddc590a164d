#include "support/memory/memory_region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "support/fail.h"
#include "support/log.h"
#include "support/memory/give_back.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kLeastHuge = 4 * kHugePage;
constexpr uint64_t kSmallPage = 16 * kKiB;  // the largest of the systems we run on: Apple Silicon's

Result<std::byte*> map(uint64_t bytes, int protection, int flags) {
  void* address = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (address == MAP_FAILED) {
    return fail(ErrorCode::kBudget, "cannot map {}: {}", format_bytes(bytes), std::generic_category().message(errno));
  }
  return static_cast<std::byte*>(address);
}

}  // namespace

MemoryRegion::~MemoryRegion() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

MemoryRegion::MemoryRegion(MemoryRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Result<MemoryRegion> MemoryRegion::allocate(uint64_t bytes) {
  // A small region in huge pages would take up to one more than it needs, beside a budget of a few of them.
  const bool huge = bytes >= kLeastHuge;
  const uint64_t size = round_up(bytes, huge ? kHugePage : kSmallPage);
  MemoryRegion region;
  auto address = map(size, PROT_READ | PROT_WRITE, 0);
  if (!address) {
    return propagate(address.error());
  }
  region.data_ = *address;
  region.size_ = size;
  if (huge) {
    advise_huge_pages(region.data_, region.size_);
  }
  return region;
}

Status MemoryRegion::make_memory(uint64_t offset, uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = round_down(offset, page);
  if (mprotect(data_ + begin, std::min(offset + bytes, size_) - begin, PROT_READ | PROT_WRITE) != 0) {
    return fail(ErrorCode::kBudget, "cannot have {} of memory: {}", format_bytes(bytes),
                std::generic_category().message(errno));
  }
  return {};
}

void MemoryRegion::give_back(uint64_t offset, uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = round_up(offset, page);
  const uint64_t end = round_down(std::min(offset + bytes, size_), page);
  if (begin < end && !give_pages_back({data_ + begin, end - begin})) {
    logger().warn("the system takes back no memory: {}", std::generic_category().message(errno));
  }
}

Result<MemoryRegion> MemoryRegion::reserve(uint64_t bytes) {
  MemoryRegion region;
  auto address = map(bytes, PROT_NONE, MAP_NORESERVE);
  if (!address) {
    return propagate(address.error());
  }
  region.data_ = *address;
  region.size_ = bytes;
  return region;
}

}  // namespace hypura
