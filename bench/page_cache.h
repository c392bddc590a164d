// How much of a file lies in the page cache.
#pragma once

#include <cstdint>
#include <filesystem>

#include "hypura/result.h"

namespace hypura::bench {

// Bytes of the file that lie in the page cache now, whoever put them there. The kernel answers for files that the
// caller may write only. Fails with kIo when the file cannot be mapped.
Result<uint64_t> cached_bytes(const std::filesystem::path& file);

}  // namespace hypura::bench
