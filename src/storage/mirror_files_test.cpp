#include "storage/mirror_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "storage/test_files.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kHeader = 200 * kKiB + 77;

// A model of two parts, and copies of them in a folder of their own.
class MirrorFilesTest : public testing::TestWithParam<bool> {
 protected:
  MirrorFilesTest() {
    fs::create_directory(folder_);
    for (uint32_t i = 0; i < 2; ++i) {
      files_.push_back({write_pattern(dir_, i, 3 * kMiB + 777), kHeader});
      fs::copy_file(files_[i].path, copy(i));
    }
  }

  fs::path copy(size_t file) const { return folder_ / files_[file].path.filename(); }
  Result<std::vector<Mirror>> find(const std::vector<fs::path>& places) const {
    return find_mirrors(files_, places, GetParam());
  }
  void expect_refused(const std::vector<fs::path>& places, ErrorCode code,
                      const testing::Matcher<std::string>& sentence) const {
    const auto found = find(places);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, code) << found.error().message;
    EXPECT_THAT(found.error().message, sentence);
  }
  static void damage(const fs::path& file, uint64_t offset) {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(stream.get());
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(static_cast<char>(~byte));
  }

  TempDir dir_;
  fs::path folder_ = dir_.path() / "copies";
  std::vector<MirroredFile> files_;
};

INSTANTIATE_TEST_SUITE_P(Reads, MirrorFilesTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "direct" : "buffered"; });

TEST_P(MirrorFilesTest, FindsCopiesByFolderAndByFile) {
  for (const fs::path& place : {folder_, copy(0), copy(1)}) {
    const auto found = find({place});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, std::vector<Mirror>({{copy(0), copy(1)}})) << place;
  }
}

TEST_P(MirrorFilesTest, TakesAFileOfAnotherNameForTheFirst) {
  const fs::path other = folder_ / "other.gguf";
  fs::rename(copy(0), other);
  const auto found = find({other});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, std::vector<Mirror>({{other, copy(1)}}));
}

TEST_P(MirrorFilesTest, AMirrorMayLackParts) {
  fs::remove(copy(0));
  const auto found = find({folder_});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, std::vector<Mirror>({{fs::path(), copy(1)}}));
}

TEST_P(MirrorFilesTest, RefusesWhatIsNotThere) {
  expect_refused({dir_.path() / "missing"}, ErrorCode::kIo, HasSubstr("missing': No such file"));
  const fs::path empty = dir_.path() / "empty";
  fs::create_directory(empty);
  expect_refused({empty}, ErrorCode::kIo, AllOf(HasSubstr(empty.string()), HasSubstr("'model-0.gguf'")));
}

TEST_P(MirrorFilesTest, RefusesTheSameFileAgain) {
  expect_refused({dir_.path()}, ErrorCode::kUsage, HasSubstr("no second copy"));
  fs::remove(copy(1));
  fs::create_hard_link(files_[1].path, copy(1));
  expect_refused({folder_}, ErrorCode::kUsage, AllOf(HasSubstr(copy(1).string()), HasSubstr(files_[1].path.string())));
  fs::remove(copy(1));
  fs::create_symlink(files_[1].path, copy(1));
  expect_refused({folder_}, ErrorCode::kUsage, HasSubstr("no second copy"));
}

TEST_P(MirrorFilesTest, RefusesOneMirrorTwice) {
  expect_refused({folder_, folder_}, ErrorCode::kUsage, HasSubstr("no second copy"));
}

TEST_P(MirrorFilesTest, RefusesAnotherSize) {
  for (const uint64_t size : {3 * kMiB, 4 * kMiB}) {
    fs::resize_file(copy(1), size);
    expect_refused({folder_}, ErrorCode::kBadModel,
                   AllOf(HasSubstr(copy(1).string()), HasSubstr(files_[1].path.string()),
                         HasSubstr("offset " + std::to_string(std::min(size, 3 * kMiB + 777)))));
  }
}

TEST_P(MirrorFilesTest, RefusesADifferenceAnywhereInTheHeader) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{65535}, uint64_t{65536}, 150 * kKiB + 3, kHeader - 1}) {
    damage(copy(0), offset);
    expect_refused({folder_}, ErrorCode::kBadModel,
                   AllOf(HasSubstr(copy(0).string()), HasSubstr(files_[0].path.string()),
                         HasSubstr("differ at offset " + std::to_string(offset) + ";")));
    damage(copy(0), offset);
    EXPECT_TRUE(find({folder_}));
  }
}

TEST_P(MirrorFilesTest, RefusesOtherData) {
  // Blocks are 64 KiB, one in each 3 MiB / 16: a stretch longer than their distance is always met, and so is the end.
  const uint64_t size = fs::file_size(copy(1));
  damage(copy(1), size - 1);
  expect_refused({folder_}, ErrorCode::kBadModel, HasSubstr("differ at offset " + std::to_string(size - 1)));
  damage(copy(1), size - 1);
  for (uint64_t offset = 2 * kMiB; offset < 2 * kMiB + 260 * kKiB; offset += 4 * kKiB) {
    damage(copy(1), offset);
  }
  expect_refused({folder_}, ErrorCode::kBadModel, HasSubstr("differ at offset 2"));
}

TEST_P(MirrorFilesTest, ComparesSmallFilesWhole) {
  for (const uint64_t size : {uint64_t{1}, uint64_t{4096}, uint64_t{70001}, kMiB}) {
    const fs::path file = write_pattern(dir_, 7, size);
    const fs::path copy = dir_.path() / "small-copy.gguf";
    const std::vector<MirroredFile> files = {{file, std::min<uint64_t>(size, 40)}};
    for (uint64_t offset = 0; offset < size; offset += 1 + size / 20) {
      fs::copy_file(file, copy, fs::copy_options::overwrite_existing);
      ASSERT_TRUE(find_mirrors(files, {copy}, GetParam()));
      damage(copy, offset);
      const auto found = find_mirrors(files, {copy}, GetParam());
      ASSERT_FALSE(found) << size << " " << offset;
      EXPECT_THAT(found.error().message, HasSubstr("differ at offset " + std::to_string(offset) + ";"));
    }
  }
}

TEST_P(MirrorFilesTest, RefusesWhatIsNoFile) {
  fs::remove(copy(1));
  ASSERT_EQ(mkfifo(copy(1).c_str(), 0600), 0);
  expect_refused({folder_}, ErrorCode::kIo, HasSubstr(copy(1).string()));
}

}  // namespace
}  // namespace hypura
