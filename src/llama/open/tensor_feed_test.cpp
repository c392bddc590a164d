// The bytes that llama.cpp's loader gets are the file's, in whatever order and pieces it asks for them.

#include "llama/open/tensor_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

// An embedding and an output of two blocks each, and tensors that are smaller.
std::filesystem::path make_wide_model(const std::filesystem::path& folder, int files) {
  ModelSpec spec;
  spec.output = folder / "wide.gguf";
  spec.type = "F16";
  spec.layers = 2;
  spec.vocab_tokens = 60000;
  spec.split = files;
  const auto made = make_model(spec);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : spec.output;
}

struct Feeding {
  Model model;
  VirtualHeader header;
  std::unique_ptr<Reader> reader;
  std::unique_ptr<TensorFeed> feed;
};

std::unique_ptr<Feeding> start(const std::filesystem::path& path) {
  auto model = open_model(path);
  EXPECT_TRUE(model) << model.error().message;
  auto feeding = std::make_unique<Feeding>();
  feeding->model = std::move(*model);
  auto header = make_virtual_header(feeding->model);
  EXPECT_TRUE(header);
  feeding->header = std::move(*header);
  std::vector<std::filesystem::path> paths;
  for (const ModelFile& file : feeding->model.files) {
    paths.push_back(file.path);
  }
  auto reader = Reader::open(paths, {});
  EXPECT_TRUE(reader);
  feeding->reader = std::move(*reader);
  auto feed = TensorFeed::create(feeding->header, *feeding->reader);
  EXPECT_TRUE(feed);
  feeding->feed = std::move(*feed);
  return feeding;
}

// What the virtual file should hold there.
std::vector<char> expected(const Feeding& feeding, uint64_t offset, size_t bytes) {
  std::vector<char> whole(bytes);
  for (const VirtualTensor& tensor : feeding.header.tensors) {
    const uint64_t begin = std::max(offset, tensor.offset);
    const uint64_t end = std::min(offset + bytes, tensor.offset + tensor.extent.length);
    if (begin < end) {
      std::ifstream file(feeding.model.files[tensor.extent.file].path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(tensor.extent.offset + begin - tensor.offset));
      file.read(whole.data() + (begin - offset), static_cast<std::streamsize>(end - begin));
    }
  }
  return whole;
}

class TensorFeedTest : public testing::TestWithParam<int> {};

TEST_P(TensorFeedTest, GivesTheFilesBytes) {
  const TempDir folder;
  const auto feeding = start(make_wide_model(folder.path(), GetParam()));
  ASSERT_EQ(feeding->model.files.size(), static_cast<size_t>(GetParam()));
  const uint64_t begin = feeding->header.bytes.size();
  const uint64_t end = feeding->header.file_size;
  ASSERT_GT(end - begin, 2 * TensorFeed::kBlockBytes);
  std::mt19937_64 engine(7);
  for (int i = 0; i < 60; ++i) {
    const uint64_t offset = i == 0 ? begin : begin + engine() % (end - begin);
    const uint64_t most = i % 3 == 0 ? 3 * TensorFeed::kBlockBytes : i % 3 == 1 ? 100000 : 30;
    const size_t bytes = i == 0 ? end - begin : std::min(1 + engine() % most, end - offset);
    std::vector<char> got(bytes, 'x');
    ASSERT_EQ(feeding->feed->read(offset, got.data(), bytes), static_cast<int64_t>(bytes));
    ASSERT_TRUE(got == expected(*feeding, offset, bytes)) << bytes << " at " << offset;
  }
  EXPECT_FALSE(feeding->feed->error());
}

INSTANTIATE_TEST_SUITE_P(WholeAndSplit, TensorFeedTest, testing::Values(1, 2));

TEST(TensorFeed, ReadsEachByteOnceInOrder) {
  const TempDir folder;
  const auto feeding = start(make_wide_model(folder.path(), 1));
  for (const VirtualTensor& tensor : feeding->header.tensors) {
    std::vector<char> got(tensor.extent.length);
    ASSERT_EQ(feeding->feed->read(tensor.offset, got.data(), got.size()), static_cast<int64_t>(got.size()));
  }
  const uint64_t read = feeding->reader->stats().demand_bytes;
  EXPECT_GE(read, feeding->model.bytes);
  EXPECT_LE(read, feeding->model.bytes + feeding->model.tensors.size() * 4 * kDirectAlignment);
}

TEST(TensorFeed, EndsWithTheFile) {
  const TempDir folder;
  const auto feeding = start(make_wide_model(folder.path(), 1));
  std::vector<char> got(100);
  EXPECT_EQ(feeding->feed->read(feeding->header.file_size, got.data(), got.size()), 0);
  EXPECT_EQ(feeding->feed->read(feeding->header.file_size - 10, got.data(), got.size()), 10);
}

// Reading on behind a tensor that is given never meets one that is not, since their blocks are apart.
TEST(TensorFeed, TensorsThatAreNotGivenEndTheFile) {
  const TempDir folder;
  const auto feeding = start(make_wide_model(folder.path(), 1));
  for (size_t i = 0; i < feeding->header.tensors.size(); ++i) {
    feeding->header.tensors[i].given = i % 2 == 0;
  }
  const VirtualFile file(feeding->header, feeding->feed.get());
  for (int again = 0; again < 2; ++again) {
    for (const VirtualTensor& tensor : feeding->header.tensors) {
      ASSERT_EQ(std::fseek(file.file(), static_cast<long>(tensor.offset), SEEK_SET), 0);
      const auto at = static_cast<uint64_t>(std::ftell(file.file()));
      EXPECT_EQ(at, tensor.given ? tensor.offset : feeding->header.file_size);
      std::vector<char> got(tensor.given ? tensor.extent.length : 0);
      ASSERT_EQ(std::fread(got.data(), 1, got.size(), file.file()), got.size());
      ASSERT_TRUE(got == expected(*feeding, tensor.offset, got.size()));
    }
  }
  uint64_t given = 0;
  for (const VirtualTensor& tensor : feeding->header.tensors) {
    given += tensor.given ? tensor.extent.length : 0;
  }
  EXPECT_LT(feeding->reader->stats().demand_bytes, 2 * given + (1 << 20)) << "nothing else was read";
}

TEST(TensorFeed, AFileCutShortMeanwhileIsAnError) {
  const TempDir folder;
  const auto path = make_wide_model(folder.path(), 1);
  const auto feeding = start(path);
  const VirtualTensor& last = feeding->header.tensors.back();
  std::filesystem::resize_file(path, last.extent.offset + last.extent.length / 2);
  std::vector<char> got(last.extent.length);
  EXPECT_EQ(feeding->feed->read(last.offset, got.data(), got.size()), -1);
  ASSERT_TRUE(feeding->feed->error());
  EXPECT_EQ(feeding->feed->error()->code, ErrorCode::kIo);
  EXPECT_THAT(feeding->feed->error()->message, HasSubstr(path.filename().string()));
}

}  // namespace
}  // namespace hypura
