// How much of a file lies in the page cache, and getting it out. Linux only: on macOS every call fails with kIo.
#pragma once

#include <cstdint>
#include <filesystem>

#include "hypura/result.h"

namespace hypura {

// So much of a model may be found in the page cache and its run still be believed: headers are read through it.
inline constexpr uint64_t kCacheTolerance = 16 << 20;

// Bytes of the file that lie in the page cache now, whoever put them there. Fails with kIo when the file cannot be
// mapped, and when it is neither the caller's nor writable: the kernel then does not answer.
Result<uint64_t> cached_bytes(const std::filesystem::path& file);

// Gets a file's pages out of the page cache; needs no rights. Pages that some process has mapped may stay: only
// cached_bytes tells. Fails with kIo when the file cannot be opened.
Status drop_file_cache(const std::filesystem::path& file);

// Empties the whole page cache. Fails with kIo without the right to; may_drop_caches() tells beforehand.
Status drop_caches();
Status may_drop_caches();

}  // namespace hypura
