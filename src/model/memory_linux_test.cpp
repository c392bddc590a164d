// Headers that claim much in files that are truly large (but sparse): the claims pass the check against the file's
// size, so the bounds in header_scan.h alone keep memory and time small.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>

#include "model/test_gguf.h"
#include "support/units.h"

namespace hypura {
namespace {

uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * kKiB;
}

class Memory : public testing::Test {
 protected:
  // Opens the file, with zeros behind it up to 64 GiB, and expects an error.
  void expect_cheap_refusal(const std::filesystem::path& path) {
    std::filesystem::resize_file(path, 64 * kGiB);
    const uint64_t before = peak_memory();
    const auto start = std::chrono::steady_clock::now();
    expect_error(path, ErrorCode::kBadModel, {});
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_LT(peak_memory() - before, 512 * kMiB);
  }
  void expect_cheap_refusal(const std::string& bytes) { expect_cheap_refusal(dir_.write("large.gguf", bytes)); }

  TempDir dir_;
  const std::string good_ = small_model();
};

TEST_F(Memory, CountsOfTensorsAndKeys) {
  for (const size_t at : {8U, 16U}) {
    std::string bytes = good_;
    patch<uint64_t>(bytes, at, 1'000'000'000);
    expect_cheap_refusal(bytes);
  }
}

TEST_F(Memory, ArraysAndStrings) {
  const size_t tokens = after_name(good_, "tokenizer.ggml.tokens");
  for (const size_t at : {tokens + 8, tokens + 16}) {
    for (const uint64_t claim : {uint64_t{1} << 30, uint64_t{1} << 33, uint64_t{6} << 20}) {
      std::string bytes = good_;
      patch(bytes, at, claim);
      expect_cheap_refusal(bytes);
    }
  }
}

// 30 arrays of empty strings and one tensor, all well-formed. Each array is modest; together ggml's parser would take
// more than half a gigabyte for them.
TEST_F(Memory, ManyArrays) {
  constexpr uint64_t count = 500'000;
  const std::filesystem::path path = dir_.write("arrays.gguf", good_.substr(0, 8));
  std::ofstream out(path, std::ios::binary | std::ios::in | std::ios::ate);
  const auto put = [&](auto value) { out.write(reinterpret_cast<const char*>(&value), sizeof(value)); };
  put(uint64_t{1});
  put(uint64_t{30});
  for (int i = 0; i < 30; ++i) {
    const std::string key = fmt::format("key{:03}", i);
    put(uint64_t{key.size()});
    out << key;
    put(uint32_t{GGUF_TYPE_ARRAY});
    put(uint32_t{GGUF_TYPE_STRING});
    put(count);
    out.seekp(count * sizeof(uint64_t), std::ios::cur);
  }
  put(uint64_t{1});
  out << 'a';
  out.close();
  expect_cheap_refusal(path);
}

}  // namespace
}  // namespace hypura
