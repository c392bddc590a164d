#include <utility>

#include "bench/isolation/readahead.h"
#include "support/fail.h"

namespace hypura {

Result<Readahead> Readahead::of(const std::filesystem::path& file) {
  return fail(ErrorCode::kIo, "{}: macOS has no readahead setting", file.string());
}

Result<Readahead> Readahead::of_device(dev_t /*device*/, const std::filesystem::path& root) {
  return of(root);
}

// None is ever made.
Readahead::Readahead(Readahead&& other) noexcept
    : setting_(std::move(other.setting_)), own_kib_(other.own_kib_), kib_(other.kib_) {}
Readahead::~Readahead() = default;

Status Readahead::set(uint32_t /*kib*/) {
  return fail(ErrorCode::kIo, "macOS has no readahead setting");
}

}  // namespace hypura
