#include "machine/speed/storage_speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>

#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(StoragePoints, CoverBlocksAndDepths) {
  const std::vector<StoragePoint> points = storage_points(kGiB);
  std::set<uint64_t> blocks;
  std::set<uint32_t> depths;
  for (const StoragePoint& point : points) {
    blocks.insert(point.block_bytes);
    depths.insert(point.depth);
    EXPECT_LE(point.block_bytes * point.depth, 64 * kMiB) << "more than the reader has under way";
    EXPECT_EQ(point.bytes_per_second, 0);
  }
  EXPECT_EQ(*blocks.begin(), 64 * kKiB);
  EXPECT_EQ(*blocks.rbegin(), 16 * kMiB);
  EXPECT_EQ(*depths.begin(), 1U);
  EXPECT_EQ(*depths.rbegin(), 32U);
  EXPECT_TRUE(std::any_of(points.begin(), points.end(), [](const StoragePoint& p) { return !p.scattered; }));
}

TEST(StoragePoints, FitTheFile) {
  for (const StoragePoint& point : storage_points(kMiB)) {
    EXPECT_LE(point.block_bytes * point.depth, kMiB);
  }
  EXPECT_EQ(storage_points(64 * kKiB).size(), 2U);
  EXPECT_TRUE(storage_points(64 * kKiB - 1).empty());
}

TEST(Knee, IsTheCheapestThatReaches95Percent) {
  const std::vector<StoragePoint> points = {
      {64 * kKiB, 1, true, 100},   {64 * kKiB, 8, true, 949}, {kMiB, 1, true, 700},        {kMiB, 4, true, 950},
      {256 * kKiB, 16, true, 980}, {kMiB, 32, true, 1000},    {64 * kKiB, 1, false, 5000},
  };
  const StoragePoint knee = find_knee(points);
  EXPECT_EQ(knee.block_bytes, 256 * kKiB) << "as many bytes under way as 4 blocks of 1 MiB, in smaller blocks";
  EXPECT_EQ(knee.depth, 16U);
  EXPECT_EQ(knee.bytes_per_second, 980);
}

TEST(Knee, DoesNotDependOnTheOrder) {
  std::vector<StoragePoint> points = {{kMiB, 2, true, 96}, {kMiB, 4, true, 100}, {64 * kKiB, 1, true, 10}};
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.depth < b.depth; });
  do {
    EXPECT_EQ(find_knee(points).depth, 2U);
  } while (std::next_permutation(points.begin(), points.end(),
                                 [](const auto& a, const auto& b) { return a.depth < b.depth; }));
}

TEST(Knee, NothingMeasuredHasNone) {
  EXPECT_EQ(find_knee({}).depth, 0U);
  const std::vector<StoragePoint> unmeasured = {{kMiB, 2, true, 0}, {kMiB, 2, false, 10}};
  EXPECT_EQ(find_knee(unmeasured).depth, 0U);
}

ReadableFile open_file(const std::filesystem::path& path, uint64_t bytes) {
  auto reader = Reader::open({path}, {});
  if (!reader) {
    ADD_FAILURE() << reader.error().message;
    return {};
  }
  return {std::move(*reader), bytes};
}

Result<StorageProfile> measure(ReadableFile file, const StorageTest& test) {
  return StorageSpeed::open(std::move(file), StorageSpeed::kMemory)
      .and_then([&](const std::unique_ptr<StorageSpeed>& disk) { return disk->measure(test); });
}

TEST(StorageSpeed, EveryPointGetsARate) {
  const TestTree tree;
  tree.write("/file", std::string(3 * kMiB + 777, 'x'));
  double last = 0;
  StorageTest test;
  test.point_seconds = 0.001;
  test.progress = [&](double share) {
    EXPECT_GT(share, last);
    last = share;
  };
  const auto profile = measure(open_file(tree.root() / "file", 3 * kMiB + 777), test);
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(last, 1);
  EXPECT_THAT(profile->method, testing::AnyOf(HasSubstr("direct"), HasSubstr("buffered")));
  ASSERT_EQ(profile->points.size(), storage_points(3 * kMiB + 777).size());
  double best_scattered = 0;
  for (const StoragePoint& point : profile->points) {
    EXPECT_GT(point.bytes_per_second, 0);
    EXPECT_LE(point.bytes_per_second,
              point.scattered ? profile->scattered_bytes_per_second : profile->sequential_bytes_per_second);
    best_scattered = point.scattered ? std::max(best_scattered, point.bytes_per_second) : best_scattered;
  }
  EXPECT_EQ(profile->scattered_bytes_per_second, best_scattered);
  EXPECT_GE(profile->knee.bytes_per_second, 0.95 * best_scattered);
  EXPECT_GT(profile->read_seconds, 0);
}

TEST(StorageSpeed, SecondVisitsEndWhenTimeIsUp) {
  const TestTree tree;
  tree.write("/file", std::string(kMiB, 'x'));
  StorageTest test;
  test.point_seconds = 0;
  test.most_seconds = 0;
  size_t visits = 0;
  test.progress = [&](double) { ++visits; };
  const auto profile = measure(open_file(tree.root() / "file", kMiB), test);
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(visits, profile->points.size());
}

TEST(StorageSpeed, AFileThatEndsTooSoonIsAnError) {
  const TestTree tree;
  tree.write("/file", std::string(100, 'x'));
  const auto profile = measure(open_file(tree.root() / "file", 64 * kMiB), {});
  ASSERT_FALSE(profile);
  EXPECT_EQ(profile.error().code, ErrorCode::kIo);
  EXPECT_THAT(profile.error().message, HasSubstr((tree.root() / "file").string()));
}

TEST(StorageSpeed, ReadsUntilItIsToldToStop) {
  const TestTree tree;
  tree.write("/file", std::string(kMiB, 'x'));
  auto disk = StorageSpeed::open(open_file(tree.root() / "file", kMiB), StorageSpeed::kMemory);
  ASSERT_TRUE(disk) << disk.error().message;
  std::atomic<bool> stop = false;
  Result<double> rate = 0.0;
  std::thread reading([&] { rate = (*disk)->read_until({64 * kKiB, 4, true, 0}, stop); });
  stop = true;
  reading.join();
  ASSERT_TRUE(rate) << rate.error().message;
  EXPECT_GT(*rate, 0) << "what was under way is waited for and counts";
}

TEST(Scratch, SizeIsBoundedByTheSpaceThatIsFree) {
  const ScratchLimits limits;
  EXPECT_EQ(scratch_size(limits, 100 * kGiB), kGiB);
  EXPECT_EQ(scratch_size(limits, 2 * kGiB + 4), 512 * kMiB);
  EXPECT_EQ(scratch_size(limits, 256 * kMiB), 64 * kMiB);
  EXPECT_EQ(scratch_size(limits, 255 * kMiB), 0U);
  EXPECT_EQ(scratch_size(limits, 0), 0U);
}

bool has_no_files(const std::filesystem::path& folder) {
  return std::filesystem::directory_iterator(folder) == std::filesystem::directory_iterator();
}

TEST(Scratch, HoldsDifferentBlocksAndHasNoName) {
  const TestTree tree;
  const ScratchLimits limits = {.bytes = 20 * kMiB, .least_bytes = kMiB, .seconds = 1e9};
  double last = 0;
  const auto file = make_scratch_file(tree.root(), limits, [&](double share) { last = share; });
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->bytes, 20 * kMiB);
  EXPECT_EQ(last, 1);
  EXPECT_TRUE(has_no_files(tree.root()));

  constexpr uint64_t kBlock = kDirectAlignment;
  std::vector<std::byte> memory(file->bytes + kBlock);
  void* aligned = memory.data();
  size_t capacity = memory.size();
  auto* begin = static_cast<std::byte*>(std::align(kBlock, file->bytes, aligned, capacity));
  const ReadRequest request = {.file = 0, .offset = 0, .length = file->bytes, .destination = begin};
  ASSERT_TRUE(file->reader->wait(file->reader->submit({&request, 1}, Priority::kDemand)));
  std::set<std::string> blocks;
  for (uint64_t at = 0; at < file->bytes; at += kBlock) {
    blocks.emplace(reinterpret_cast<const char*>(begin + at), kBlock);
  }
  EXPECT_EQ(blocks.size(), file->bytes / kBlock);
}

TEST(Scratch, StopsWhenTimeIsUpButNotBeforeTheLeast) {
  const TestTree tree;
  const ScratchLimits limits = {.bytes = 64 * kMiB, .least_bytes = 16 * kMiB, .seconds = 0};
  const auto file = make_scratch_file(tree.root(), limits, {});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_GE(file->bytes, 16 * kMiB);
  EXPECT_LT(file->bytes, 64 * kMiB);
}

TEST(Scratch, FailureNamesTheFolderAndLeavesNothing) {
  const TestTree tree;
  const auto missing = make_scratch_file(tree.root() / "missing", {}, {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  EXPECT_THAT(missing.error().message, HasSubstr((tree.root() / "missing").string()));

  const ScratchLimits huge = {.bytes = 1ULL << 60, .least_bytes = 1ULL << 59, .seconds = 1};
  const auto no_room = make_scratch_file(tree.root(), huge, {});
  ASSERT_FALSE(no_room);
  EXPECT_EQ(no_room.error().code, ErrorCode::kIo);
  EXPECT_THAT(no_room.error().message, testing::AllOf(HasSubstr(tree.root().string()), HasSubstr("free")));
  EXPECT_TRUE(has_no_files(tree.root()));
}

}  // namespace
}  // namespace hypura
