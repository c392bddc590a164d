#include "bench/isolation/page_cache.h"
#include "support/fail.h"

namespace hypura {

Result<uint64_t> cached_bytes(const std::filesystem::path& file) {
  return fail(ErrorCode::kIo, "{}: on macOS it is not known what lies in the page cache", file.string());
}

Status drop_file_cache(const std::filesystem::path& file) {
  return fail(ErrorCode::kIo, "{}: on macOS no file can be taken out of the page cache", file.string());
}

Status drop_caches() {
  return may_drop_caches();
}

Status may_drop_caches() {
  return fail(ErrorCode::kIo, "macOS lets no program empty its page cache");
}

}  // namespace hypura
