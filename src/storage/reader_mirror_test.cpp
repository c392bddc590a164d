// The reader with copies of its files. Two copies on one disk will do: which is read is decided by what is measured.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <sys/mman.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <sstream>
#include <utility>

#include "storage/reader.h"
#include "storage/test_files.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr uint64_t kFileBytes = 6 * kMiB + 777;
// A copy that seems slow is tried again after a GiB from others (storage/mirror_choice.cpp): so often all are read.
constexpr int kRounds = 2 * kGiB / kFileBytes;

// Two files; a mirror that has both, and one that has the second.
class ReaderMirrorTest : public testing::TestWithParam<ReaderKind> {
 protected:
  ReaderMirrorTest() {
    std::swap(logger().sinks(), sinks_);  // of mirrors dropped
    for (uint32_t i = 0; i < 2; ++i) {
      files_.push_back(write_pattern(dir_, i, kFileBytes));
    }
    mirrors_.push_back({copy(0, "a"), copy(1, "a")});
    mirrors_.push_back({fs::path(), copy(1, "b")});
  }
  ~ReaderMirrorTest() override { std::swap(logger().sinks(), sinks_); }

  bool mirror_dropped() const { return log_.str().find("a mirror failed") != std::string::npos; }

  fs::path copy(size_t file, const std::string& name) const {
    const fs::path path = dir_.path() / (name + "-" + std::to_string(file) + ".gguf");
    fs::copy_file(files_[file], path);
    return path;
  }

  std::unique_ptr<Reader> open() const {
    ReaderOptions options;
    options.chunk_bytes = 64 * kKiB;
    options.force_threads = GetParam().force_threads;
    options.direct = GetParam().direct;
    auto reader = Reader::open(files_, options, mirrors_);
    EXPECT_TRUE(reader) << reader.error().message;
    return reader ? std::move(*reader) : nullptr;
  }

  static Status read(Reader& reader, const Read& read) {
    return reader.wait(reader.submit({&read.request, 1}, Priority::kDemand));
  }

  std::ostringstream log_;
  std::vector<spdlog::sink_ptr> sinks_{std::make_shared<spdlog::sinks::ostream_sink_mt>(log_)};
  TempDir dir_;
  std::vector<fs::path> files_;
  std::vector<Mirror> mirrors_;
};

INSTANTIATE_TEST_SUITE_P(Readers, ReaderMirrorTest, kReaderKinds, [](const auto& kind) { return kind.param.name; });

TEST_P(ReaderMirrorTest, ReadsTheSameBytesFromAllCopies) {
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  std::mt19937_64 random(7);
  for (int round = 0; round < 10; ++round) {
    std::vector<Read> reads;
    std::vector<ReadRequest> requests;
    for (uint32_t i = 0; i < 8; ++i) {
      const uint64_t offset = random() % kFileBytes;
      // One in three goes to the very end of the file.
      const uint64_t most = std::min(kFileBytes - offset, 4 * kMiB);
      reads.emplace_back(i % 2, offset, i % 3 == 0 ? kFileBytes - offset : 1 + random() % most);
      requests.push_back(reads.back().request);
    }
    const Status status = reader->wait(reader->submit(requests, round % 2 ? Priority::kDemand : Priority::kPrefetch));
    ASSERT_TRUE(status) << status.error().message;
    for (const Read& read : reads) {
      read.expect_pattern();
    }
  }
  const ReaderStats stats = reader->stats();
  ASSERT_EQ(stats.copy_bytes.size(), 3U);
  EXPECT_EQ(std::accumulate(stats.copy_bytes.begin(), stats.copy_bytes.end(), uint64_t{0}),
            stats.demand_bytes + stats.prefetch_bytes);
  // What each gets follows its speed, which on a busy machine may be anything.
  EXPECT_LT(stats.copy_bytes[0], stats.demand_bytes + stats.prefetch_bytes) << "no mirror was read";
}

TEST_P(ReaderMirrorTest, AFileThatAMirrorLacksIsReadWhereItIs) {
  mirrors_.erase(mirrors_.begin());
  const auto reader = open();
  const Read first(0, 0, kFileBytes);
  ASSERT_TRUE(read(*reader, first));
  first.expect_pattern();
  EXPECT_EQ(reader->stats().copy_bytes, std::vector<uint64_t>({kFileBytes, 0}));
}

TEST_P(ReaderMirrorTest, WithoutMirrorsNothingIsCountedByCopy) {
  mirrors_.clear();
  const auto reader = open();
  ASSERT_TRUE(read(*reader, Read(0, 0, kMiB)));
  EXPECT_TRUE(reader->stats().copy_bytes.empty());
}

TEST_P(ReaderMirrorTest, AMirrorThatIsCutShortIsGivenUpAndNothingIsLost) {
  const auto reader = open();
  ASSERT_NE(reader, nullptr);
  fs::resize_file(mirrors_[0][0], kMiB + 100);
  for (int round = 0; round < kRounds && !mirror_dropped(); ++round) {
    const Read whole(0, 5, kFileBytes - 5);
    const Status status = read(*reader, whole);
    ASSERT_TRUE(status) << status.error().message;
    whole.expect_pattern();
  }
  ASSERT_TRUE(mirror_dropped());
  // It is not read any more, of the other file neither.
  const uint64_t before = reader->stats().copy_bytes[1];
  const Read second(1, 0, kFileBytes);
  ASSERT_TRUE(read(*reader, second));
  second.expect_pattern();
  EXPECT_EQ(reader->stats().copy_bytes[1], before);
}

TEST_P(ReaderMirrorTest, AFileThatIsCutShortIsAnErrorAlthoughAMirrorHasIt) {
  const auto reader = open();
  fs::resize_file(files_[0], 0);
  Status status;
  for (int round = 0; round < kRounds && status; ++round) {
    status = read(*reader, Read(0, 0, kFileBytes));
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("'" + files_[0].string() + "' ends too early"));
}

TEST_P(ReaderMirrorTest, BadMemoryIsAnErrorOfTheFileItself) {
  const auto reader = open();
  void* const no_access = mmap(nullptr, 2 * kMiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(no_access, MAP_FAILED);
  for (int i = 0; i < 4; ++i) {
    const ReadRequest request = {
        .file = 1, .offset = 0, .length = 2 * kMiB, .destination = static_cast<std::byte*>(no_access)};
    const Status status = reader->wait(reader->submit({&request, 1}, Priority::kDemand));
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("'" + files_[1].string() + "'"));
  }
  munmap(no_access, 2 * kMiB);
  const Read good(1, 0, kFileBytes);
  ASSERT_TRUE(read(*reader, good));
  good.expect_pattern();
}

TEST_P(ReaderMirrorTest, RefusesAMirrorThatCannotBeOpened) {
  fs::remove(mirrors_[1][1]);
  const auto reader = Reader::open(files_, {}, mirrors_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::kIo);
  EXPECT_THAT(reader.error().message, HasSubstr("'" + mirrors_[1][1].string() + "'"));
}

TEST_P(ReaderMirrorTest, EndsWellWithReadsUnderWay) {
  const std::vector<Read> reads = [] {
    std::vector<Read> made;
    for (uint32_t i = 0; i < 4; ++i) {
      made.emplace_back(i % 2, 0, kFileBytes);
    }
    return made;
  }();
  auto reader = open();
  for (const Read& read : reads) {
    reader->submit({&read.request, 1}, Priority::kPrefetch);
  }
  reader.reset();
}

}  // namespace
}  // namespace hypura
