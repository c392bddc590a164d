// The processor and the memory's page sizes, as the system describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace hypura {

struct CpuInfo {
  std::string model;                                     // never empty
  std::vector<std::string> simd;                         // of those that ggml has kernels for: "AVX2", "AVX512-VNNI"
  std::vector<std::pair<std::string, uint64_t>> caches;  // ("L1d", bytes), ("L2", bytes): of one, not the sum of all

  // Bytes of the largest cache; 0 when none is known.
  uint64_t largest_cache() const;
};

// `root` is put before /proc and /sys paths, so that tests can use recorded files ("" in use). What cannot be read is
// left out. macOS does not use `root`. Thread-safe, as is everything here.
CpuInfo read_cpu(const std::filesystem::path& root = {});

// How the system gives out large pages, for people: "transparent: madvise; 2.0 MiB, 16 reserved". Empty if unknown.
std::string read_huge_pages(const std::filesystem::path& root = {});

}  // namespace hypura
