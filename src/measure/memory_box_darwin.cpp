#include "measure/memory_box.h"
#include "support/fail.h"

namespace hypura {

Result<MemoryBox> MemoryBox::create(const std::string& /*name*/, uint64_t /*limit*/,
                                    const std::filesystem::path& /*mount*/) {
  return fail(ErrorCode::kIo, "macOS has no memory cgroups");
}

// None is ever made.
MemoryBox::MemoryBox(MemoryBox&& other) noexcept : folder_(std::move(other.folder_)), version_(other.version_) {}
MemoryBox::~MemoryBox() = default;

uint64_t MemoryBox::peak() const {
  return 0;
}
uint64_t MemoryBox::page_cache() const {
  return 0;
}
bool MemoryBox::out_of_memory() const {
  return false;
}

}  // namespace hypura
