#include "bench/isolation/memory_cgroup.h"
#include "support/fail.h"

namespace hypura {

Result<MemoryCgroup> MemoryCgroup::create(const std::string& /*name*/, uint64_t /*limit*/,
                                          const std::filesystem::path& /*mount*/) {
  return fail(ErrorCode::kIo, "macOS has no memory cgroups");
}

// None is ever made.
MemoryCgroup::MemoryCgroup(MemoryCgroup&& other) noexcept
    : folder_(std::move(other.folder_)), version_(other.version_) {}
MemoryCgroup::~MemoryCgroup() = default;

uint64_t MemoryCgroup::peak() const {
  return 0;
}
uint64_t MemoryCgroup::page_cache() const {
  return 0;
}
bool MemoryCgroup::out_of_memory() const {
  return false;
}

}  // namespace hypura
