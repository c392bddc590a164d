// What only Linux can prove: its own counts of bytes, a file that gives real I/O errors, and limits on pinned memory.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "storage/process_reads.h"
#include "storage/reader.h"
#include "storage/test_files.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class ReaderLinuxTest : public testing::TestWithParam<bool> {
 protected:
  ReaderOptions options() const { return {.force_threads = GetParam()}; }
  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Readers, ReaderLinuxTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "threads" : "uring"; });

TEST_P(ReaderLinuxTest, CountsWhatTheKernelCounts) {
  constexpr uint64_t kSize = 64 * kMiB;
  const std::filesystem::path path = write_pattern(dir_, 0, kSize);
  const auto reader = Reader::open({path}, options());
  ASSERT_TRUE(reader) << reader.error().message;
  const Result<uint64_t> before = process_read_bytes();
  if (!before || !(*reader)->notice().empty()) {
    GTEST_SKIP() << "no /proc/self/io, or no direct I/O in " << dir_.path();
  }
  const Memory memory(kSize);
  const ReadRequest request = {.offset = 0, .length = kSize, .destination = memory.data()};
  const uint64_t counted_before = (*reader)->stats().demand_bytes;
  ASSERT_TRUE((*reader)->wait((*reader)->submit({&request, 1}, Priority::kDemand)));
  const uint64_t counted = (*reader)->stats().demand_bytes - counted_before;
  const uint64_t by_kernel = *process_read_bytes() - *before;
  EXPECT_EQ(counted, kSize);
  EXPECT_NEAR(static_cast<double>(counted), static_cast<double>(by_kernel), 0.01 * static_cast<double>(counted));
}

// The first page of a process is never mapped, so reading it through /proc is an honest EIO. The file also refuses
// direct I/O, and cannot be read without blocking, which sends io_uring through its worker threads.
TEST_P(ReaderLinuxTest, ReportsAnInputOutputError) {
  const auto reader = Reader::open({"/proc/self/mem"}, options());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_THAT((*reader)->notice(), HasSubstr("'/proc/self/mem' does not allow direct I/O"));
  EXPECT_THAT((*reader)->description(), testing::EndsWith(", buffered"));
  const Read read(0, 0, 100);
  const Status status = (*reader)->wait((*reader)->submit({&read.request, 1}, Priority::kDemand));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("offset 0 of '/proc/self/mem': Input/output error"));
}

// Pinned memory of this process in bytes, as the kernel counts it.
uint64_t pinned_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmPin:", 0) == 0) {
      return std::stoull(line.substr(6)) * kKiB;
    }
  }
  return 0;
}

TEST(ReaderLinux, PinsMemoryPieceByPieceWhenItIsReadInto) {
  TempDir dir;
  auto reader = Reader::open({write_pattern(dir, 0, 4 * kMiB)}, {});
  ASSERT_TRUE(reader) << reader.error().message;
  if ((*reader)->description().find("io_uring") == std::string::npos) {
    GTEST_SKIP() << "no io_uring";
  }
  constexpr uint64_t kPiece = 64 * kMiB;
  const uint64_t size = 2 * kPiece + 8 * kMiB;
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* memory = static_cast<std::byte*>(mapped);
  // A part that cannot be written cannot be pinned.
  ASSERT_EQ(mprotect(memory + size - kMiB, kMiB, PROT_NONE), 0);
  const auto expect_read_to = [&](uint64_t at) {
    const ReadRequest request = {.offset = 0, .length = 3 * kMiB + 5, .destination = memory + at};
    const Status status = (*reader)->wait((*reader)->submit({&request, 1}, Priority::kDemand));
    ASSERT_TRUE(status) << status.error().message;
    for (uint64_t i = 0; i < request.length; ++i) {
      ASSERT_EQ(request.destination[i], pattern_byte(0, i));
    }
  };

  (*reader)->register_memory({memory, size});
  EXPECT_EQ(pinned_bytes(), 0U);
  expect_read_to(kPiece + 4096);
  const uint64_t pinned = pinned_bytes();
  EXPECT_TRUE(pinned == kPiece || pinned == 0) << pinned;  // 0 where RLIMIT_MEMLOCK forbids it
  expect_read_to(2 * kPiece - kMiB - 4096);                // across an edge
  expect_read_to(2 * kPiece + kMiB);                       // the piece that is refused
  EXPECT_EQ(pinned_bytes(), pinned);
  reader->reset();
  munmap(mapped, size);
}

// What the kernel knows of memory would go on to be read into, wherever the process's own pages are by then.
TEST(ReaderLinux, ForgetsMemoryThatIsGivenBack) {
  constexpr uint64_t kPiece = 64 * kMiB;
  const TempDir folder;
  const auto path = write_pattern(folder, 0, 4 * kMiB);
  auto reader = Reader::open({path}, {});
  ASSERT_TRUE(reader);
  auto region = MemoryRegion::allocate(2 * kPiece);
  ASSERT_TRUE(region);
  const auto expect_read_to = [&](uint64_t at) {
    const ReadRequest request = {.offset = 0, .length = 2 * kMiB, .destination = region->data() + at};
    const Status status = (*reader)->wait((*reader)->submit({&request, 1}, Priority::kDemand));
    ASSERT_TRUE(status) << status.error().message;
    for (uint64_t i = 0; i < request.length; i += 7) {
      ASSERT_EQ(request.destination[i], pattern_byte(0, i)) << i;
    }
  };
  (*reader)->register_memory(region->span());
  expect_read_to(10 * kMiB);
  expect_read_to(kPiece + 10 * kMiB);
  const uint64_t kept = 20 * kMiB;
  const std::span<std::byte> behind = region->span().subspan(kept);
  for (int turn = 0; turn < 3; ++turn) {
    (*reader)->forget_memory(behind);
    region->give_back(kept, behind.size());
    EXPECT_EQ(region->data()[kPiece + 10 * kMiB], std::byte{0}) << "it was given back";
    expect_read_to(10 * kMiB);  // what stays is known as before, to its end only
    expect_read_to(18 * kMiB);
    (*reader)->register_memory(behind);
    expect_read_to(30 * kMiB);
    expect_read_to(kPiece + 10 * kMiB);
  }
  (*reader)->forget_memory(region->span().subspan(5 * kMiB, kMiB));  // out of the middle
  expect_read_to(2 * kMiB);
  expect_read_to(4 * kMiB);
  expect_read_to(8 * kMiB);
  (*reader)->forget_memory(region->span());
  expect_read_to(8 * kMiB);
}

}  // namespace
}  // namespace hypura
