#include "bench/isolation/page_cache.h"
#include "support/fail.h"

namespace hypura {

Result<uint64_t> cached_bytes(const std::filesystem::path& file) {
  return fail(ErrorCode::kIo, "{}: macOS does not report what is in the page cache", file.string());
}

Status drop_file_cache(const std::filesystem::path& file) {
  return fail(ErrorCode::kIo, "{}: macOS cannot drop a file from the page cache", file.string());
}

Status drop_caches() {
  return may_drop_caches();
}

Status may_drop_caches() {
  return fail(ErrorCode::kIo, "macOS does not let a program drop the page cache");
}

}  // namespace hypura
