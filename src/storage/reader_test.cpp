#include "storage/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "storage/test_files.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class ReaderTest : public testing::TestWithParam<ReaderKind> {
 protected:
  std::unique_ptr<Reader> open(std::vector<std::filesystem::path> files, ReaderOptions options = {}) const {
    options.force_threads = GetParam().force_threads;
    options.direct = GetParam().direct;
    Result<std::unique_ptr<Reader>> reader = Reader::open(std::move(files), options);
    if (!reader) {
      ADD_FAILURE() << reader.error().message;
      return nullptr;
    }
    return std::move(*reader);
  }

  static Status read(Reader& reader, const Read& read, Priority priority = Priority::kDemand) {
    return reader.wait(reader.submit({&read.request, 1}, priority));
  }

  // A prefetch group that takes far longer than any test: the same 4 MiB, over and over into the same memory. Only for
  // a prefetch_depth of 1, or chunks would meet in one place.
  static ReadGroup submit_endless(Reader& reader, const Read& whole) {
    const std::vector<ReadRequest> requests(20000, whole.request);
    return reader.submit(requests, Priority::kPrefetch);
  }

  // Only what is not done yet can be cancelled.
  static void end_endless(Reader& reader, ReadGroup endless) {
    reader.cancel(endless);
    EXPECT_EQ(reader.wait(endless).error().code, ErrorCode::kCancelled);
  }

  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Readers, ReaderTest, kReaderKinds, [](const auto& kind) { return kind.param.name; });

TEST_P(ReaderTest, ReadsWhatIsThere) {
  const std::vector<uint64_t> sizes = {3 * kMiB + 777, 4096, 100, kMiB};
  std::vector<std::filesystem::path> files;
  for (uint32_t i = 0; i < sizes.size(); ++i) {
    files.push_back(write_pattern(dir_, i, sizes[i]));
  }
  const auto reader = open(files, {.chunk_bytes = 64 * kKiB, .depth = 8, .prefetch_depth = 3});
  ASSERT_NE(reader, nullptr);

  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    std::vector<Read> reads;
    std::vector<ReadRequest> requests;
    for (int i = 0; i < 8; ++i) {
      const auto file = static_cast<uint32_t>(random() % sizes.size());
      const uint64_t offset = random() % sizes[file];
      const uint64_t left = sizes[file] - offset;
      // One in three goes to the very end of the file.
      reads.emplace_back(file, offset, i % 3 == 0 ? left : 1 + random() % left);
      requests.push_back(reads.back().request);
    }
    const Status status = reader->wait(reader->submit(requests, round % 2 ? Priority::kDemand : Priority::kPrefetch));
    ASSERT_TRUE(status) << status.error().message;
    for (const Read& read : reads) {
      read.expect_pattern();
    }
  }
}

TEST_P(ReaderTest, DescribesItself) {
  const auto reader = open({write_pattern(dir_, 0, 8192)});
  ASSERT_NE(reader, nullptr);
  EXPECT_THAT(reader->description(),
              testing::EndsWith(GetParam().direct && reader->notice().empty() ? ", direct" : ", buffered"));
  if (GetParam().force_threads) {
    EXPECT_THAT(reader->description(), testing::StartsWith("pread threads"));
  }
}

TEST_P(ReaderTest, EmptyGroupIsFinishedAtOnce) {
  const auto reader = open({write_pattern(dir_, 0, 8192)});
  ASSERT_NE(reader, nullptr);
  const Read nothing(0, 4096, 0);
  for (const std::span<const ReadRequest> requests : {std::span<const ReadRequest>(), {&nothing.request, 1}}) {
    const ReadGroup group = reader->submit(requests, Priority::kPrefetch);
    EXPECT_NE(group, 0U);
    EXPECT_TRUE(reader->finished(group));
    EXPECT_TRUE(reader->wait(group));
    EXPECT_FALSE(reader->finished(group));
    EXPECT_EQ(reader->wait(group).error().code, ErrorCode::kInternal);
  }
}

TEST_P(ReaderTest, FinishesWithoutWaiting) {
  const auto reader = open({write_pattern(dir_, 0, kMiB)}, {.chunk_bytes = 16 * kKiB, .depth = 2});
  ASSERT_NE(reader, nullptr);
  const Read read(0, 0, kMiB);
  const ReadGroup group = reader->submit({&read.request, 1}, Priority::kPrefetch);
  while (!reader->finished(group)) {
    std::this_thread::yield();
  }
  read.expect_pattern();
  EXPECT_TRUE(reader->wait(group));
}

TEST_P(ReaderTest, DemandOvertakesPrefetch) {
  const auto reader =
      open({write_pattern(dir_, 0, 4 * kMiB)}, {.chunk_bytes = 64 * kKiB, .depth = 1, .prefetch_depth = 1});
  ASSERT_NE(reader, nullptr);
  const Read whole(0, 0, 4 * kMiB);
  const ReadGroup endless = submit_endless(*reader, whole);
  const Read urgent(0, 123456, 300000);
  const Status status = read(*reader, urgent);
  ASSERT_TRUE(status) << status.error().message;
  urgent.expect_pattern();
  end_endless(*reader, endless);
}

TEST_P(ReaderTest, WaitingMakesPrefetchUrgent) {
  const auto reader =
      open({write_pattern(dir_, 0, 4 * kMiB)}, {.chunk_bytes = 64 * kKiB, .depth = 2, .prefetch_depth = 1});
  ASSERT_NE(reader, nullptr);
  const Read whole(0, 0, 4 * kMiB);
  const ReadGroup endless = submit_endless(*reader, whole);
  const Read wanted(0, 4096, kMiB);
  const Status status = read(*reader, wanted, Priority::kPrefetch);
  ASSERT_TRUE(status) << status.error().message;
  wanted.expect_pattern();
  EXPECT_FALSE(reader->finished(endless));
  end_endless(*reader, endless);
}

// Before any of them is waited for.
TEST_P(ReaderTest, PromotedGroupsOvertakePrefetch) {
  const auto reader =
      open({write_pattern(dir_, 0, 4 * kMiB)}, {.chunk_bytes = 64 * kKiB, .depth = 2, .prefetch_depth = 1});
  ASSERT_NE(reader, nullptr);
  const Read whole(0, 0, 4 * kMiB);
  const ReadGroup endless = submit_endless(*reader, whole);
  const Read first(0, 4096, kMiB);
  const Read second(0, kMiB + 4096, kMiB);
  const ReadGroup groups[] = {reader->submit({&first.request, 1}, Priority::kPrefetch),
                              reader->submit({&second.request, 1}, Priority::kPrefetch)};
  for (const ReadGroup group : groups) {
    reader->promote(group);
    reader->promote(group);  // changes nothing
  }
  while (!reader->finished(groups[1])) {
    std::this_thread::yield();
  }
  second.expect_pattern();
  EXPECT_FALSE(reader->finished(endless));
  for (const ReadGroup group : groups) {
    EXPECT_TRUE(reader->wait(group));
    reader->promote(group);  // it is no more
  }
  first.expect_pattern();
  end_endless(*reader, endless);
}

TEST_P(ReaderTest, CancelOfAnIssuedGroupChangesNothing) {
  const auto reader = open({write_pattern(dir_, 0, kMiB)});
  ASSERT_NE(reader, nullptr);
  const Read read(0, 0, kMiB);
  const ReadGroup group = reader->submit({&read.request, 1}, Priority::kDemand);
  while (!reader->finished(group)) {
    std::this_thread::yield();
  }
  reader->cancel(group);
  EXPECT_TRUE(reader->wait(group));
  read.expect_pattern();
}

TEST_P(ReaderTest, NamesATruncatedFile) {
  const std::filesystem::path path = write_pattern(dir_, 0, 10000);
  const auto reader = open({path});
  ASSERT_NE(reader, nullptr);
  // Inside the last block, at the end of a block, and beyond every block.
  for (const auto& [size, text] : {std::pair(10000, "offset 4096 wanted 8904 bytes and got 5904"),
                                   std::pair(8192, "offset 4096 wanted 8904 bytes and got 4096"),
                                   std::pair(0, "offset 4096 wanted 8904 bytes and got 0")}) {
    std::filesystem::resize_file(path, static_cast<uintmax_t>(size));
    const Read beyond(0, 5000, 8000);
    const Status status = read(*reader, beyond);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kIo);
    EXPECT_THAT(status.error().message, HasSubstr(path.string()));
    EXPECT_THAT(status.error().message, HasSubstr(text));
    EXPECT_THAT(status.error().message, HasSubstr("truncated"));
  }
}

TEST_P(ReaderTest, NamesTheFileAndOffsetOfAFailedRead) {
  const std::filesystem::path path = write_pattern(dir_, 0, 64 * kKiB);
  const auto reader = open({path});
  ASSERT_NE(reader, nullptr);
  void* forbidden = mmap(nullptr, 64 * kKiB, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
  ASSERT_NE(forbidden, MAP_FAILED);
  const ReadRequest request = {.offset = 8192, .length = 20000, .destination = static_cast<std::byte*>(forbidden)};
  const Status status = reader->wait(reader->submit({&request, 1}, Priority::kDemand));
  munmap(forbidden, 64 * kKiB);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("offset 8192"));
  EXPECT_THAT(status.error().message, HasSubstr(path.string()));
  EXPECT_THAT(status.error().message, HasSubstr("Bad address"));
  const Read next(0, 0, 64 * kKiB);
  ASSERT_TRUE(read(*reader, next)) << "one failed group must not spoil the next";
  next.expect_pattern();
}

TEST_P(ReaderTest, RefusesWhatCannotBeOpened) {
  const std::filesystem::path good = write_pattern(dir_, 0, 8192);
  const std::filesystem::path pipe = dir_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ReaderOptions options;
  options.force_threads = GetParam().force_threads;
  options.direct = GetParam().direct;
  for (const std::filesystem::path& bad : {dir_.path() / "missing.gguf", dir_.path(), pipe}) {
    const auto reader = Reader::open({good, bad}, options);
    ASSERT_FALSE(reader) << bad;
    EXPECT_EQ(reader.error().code, ErrorCode::kIo);
    EXPECT_THAT(reader.error().message, HasSubstr("'" + bad.string() + "'"));
  }
}

TEST_P(ReaderTest, RefusesImpossibleOptions) {
  const std::filesystem::path good = write_pattern(dir_, 0, 8192);
  for (const ReaderOptions& options :
       {ReaderOptions{.chunk_bytes = 1000}, ReaderOptions{.chunk_bytes = 2 * kGiB}, ReaderOptions{.depth = 0},
        ReaderOptions{.prefetch_depth = 0}, ReaderOptions{.threads = 0}}) {
    const auto reader = Reader::open({good}, options);
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, ErrorCode::kUsage);
  }
}

TEST_P(ReaderTest, ManyThreadsAtOnce) {
  constexpr uint64_t kSize = 2 * kMiB + 99;
  const auto reader = open({write_pattern(dir_, 0, kSize), write_pattern(dir_, 1, kSize)},
                           {.chunk_bytes = 32 * kKiB, .depth = 6, .prefetch_depth = 2});
  ASSERT_NE(reader, nullptr);
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([&reader, seed] {
      std::mt19937 random(seed);
      for (int round = 0; round < 25; ++round) {
        const uint64_t offset = random() % kSize;
        const Read ahead(round % 2, random() % (kSize / 2), kSize / 2);
        const Read now(round % 2, offset, 1 + random() % (kSize - offset));
        const ReadGroup prefetch = reader->submit({&ahead.request, 1}, Priority::kPrefetch);
        const ReadGroup demand = reader->submit({&now.request, 1}, Priority::kDemand);
        if (round % 5 == 0) {
          reader->cancel(prefetch);
        }
        reader->poll();
        EXPECT_TRUE(reader->wait(demand));
        now.expect_pattern();
        if (reader->wait(prefetch)) {
          ahead.expect_pattern();
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_GT(reader->stats().demand_bytes, 0U);
}

TEST_P(ReaderTest, GroupOutlivesTheThreadThatSubmittedIt) {
  const auto reader = open({write_pattern(dir_, 0, 4 * kMiB)}, {.chunk_bytes = 16 * kKiB, .depth = 256});
  ASSERT_NE(reader, nullptr);
  for (int round = 0; round < 20; ++round) {
    const Read read(0, 0, 4 * kMiB);
    ReadGroup group = 0;
    std::thread([&] { group = reader->submit({&read.request, 1}, Priority::kDemand); }).join();
    const Status status = reader->wait(group);
    ASSERT_TRUE(status) << status.error().message;
    read.expect_pattern();
  }
}

TEST_P(ReaderTest, DestructionWaitsForWhatIsInFlight) {
  const std::filesystem::path path = write_pattern(dir_, 0, 4 * kMiB);
  for (int round = 0; round < 10; ++round) {
    const Read prefetch(0, 0, 4 * kMiB);
    const Read demand(0, 0, 4 * kMiB);
    auto reader = open({path}, {.chunk_bytes = 128 * kKiB, .depth = 16, .prefetch_depth = 16});
    ASSERT_NE(reader, nullptr);
    reader->submit({&prefetch.request, 1}, Priority::kPrefetch);
    reader->submit({&demand.request, 1}, Priority::kDemand);
    reader.reset();
    for (const Memory* memory : {&prefetch.memory, &demand.memory}) {
      std::fill_n(memory->data(), memory->size(), std::byte{0x55});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (const Memory* memory : {&prefetch.memory, &demand.memory}) {
      EXPECT_EQ(std::count(memory->data(), memory->data() + memory->size(), std::byte{0x55}),
                static_cast<ptrdiff_t>(memory->size()))
          << "something was still being read";
    }
  }
}

TEST_P(ReaderTest, CountsBytesChunksAndTime) {
  const auto reader = open({write_pattern(dir_, 0, kMiB + 5)}, {.chunk_bytes = 64 * kKiB});
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->stats().chunks, 0U);
  EXPECT_EQ(reader->stats().busy_seconds, 0);
  const Read demand(0, 5000, 100000);   // blocks 1 to 25
  const Read prefetch(0, kMiB - 1, 6);  // the block before the end, and the 5 bytes after it
  ASSERT_TRUE(read(*reader, demand));
  const ReadGroup group = reader->submit({&prefetch.request, 1}, Priority::kPrefetch);
  ASSERT_TRUE(reader->wait(group));
  const ReaderStats stats = reader->stats();
  EXPECT_EQ(stats.demand_bytes, 25U * 4096);
  EXPECT_EQ(stats.prefetch_bytes, 4096U + 5);
  EXPECT_EQ(stats.chunks, 3U);
  EXPECT_GT(stats.busy_seconds, 0);
  EXPECT_LT(stats.busy_seconds, 60);
  EXPECT_GT(stats.wait_seconds, 0);
  EXPECT_LE(stats.wait_seconds, 60);
}

TEST_P(ReaderTest, RegisteredMemoryReadsTheSame) {
  const auto reader = open({write_pattern(dir_, 0, 4 * kMiB)}, {.chunk_bytes = 256 * kKiB});
  ASSERT_NE(reader, nullptr);
  const Read first(0, 0, 4 * kMiB);
  const ReadGroup before = reader->submit({&first.request, 1}, Priority::kDemand);
  const Memory pool(3 * kMiB);
  // Only the middle is registered: reads lie inside it, outside of it and across its edges.
  reader->register_memory(pool.span().subspan(kMiB, kMiB));
  for (int round = 0; round < 4; ++round) {
    std::vector<ReadRequest> requests;
    for (uint64_t at : {uint64_t{0}, kMiB - 512 * kKiB, kMiB + 512 * kKiB, 2 * kMiB + 4096}) {
      requests.push_back({.offset = at, .length = 400 * kKiB + 7, .destination = pool.data() + at});
    }
    ASSERT_TRUE(reader->wait(reader->submit(requests, Priority::kDemand)));
    for (const ReadRequest& request : requests) {
      for (uint64_t i = 0; i < request.length; ++i) {
        ASSERT_EQ(request.destination[i], pattern_byte(0, request.offset + i));
      }
    }
    std::fill_n(pool.data(), pool.size(), std::byte{0});
  }
  ASSERT_TRUE(reader->wait(before));
  first.expect_pattern();
}

}  // namespace
}  // namespace hypura
