// One entry as a file. Readable by the user only; written past the page cache; under its name only when complete, and
// checked as a whole when it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "hypura/result.h"
#include "kv/kv_entry.h"

namespace hypura {

// What a file's name says: "KEY-FROM-END.kv".
struct KvFileName {
  KvKey key = 0;
  uint32_t from = 0;
  uint32_t end = 0;

  bool operator==(const KvFileName&) const = default;
};
std::string to_string(const KvFileName& name);
std::optional<KvFileName> parse_kv_file_name(std::string_view name);

// Bytes of the file that the entry makes.
uint64_t kv_file_bytes(const KvEntry& entry);

// Bytes of memory that writing and reading take besides the entry.
inline constexpr uint64_t kKvWriteBytes = uint64_t{8} << 20U;
inline constexpr uint64_t kKvReadBytes = uint64_t{4} << 20U;

// Fails with kIo: no space, no folder. Then there is no such file, or the one that was there.
Status write_kv_file(const std::filesystem::path& path, const KvEntry& entry);

// Fails with kIo when it cannot be read, kBadModel when it is damaged, cut short, of another version or not this entry.
Result<KvEntry> read_kv_file(const std::filesystem::path& path, const KvFileName& name);

}  // namespace hypura
