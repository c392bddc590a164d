#include "model/splits.h"

#include "model/test_gguf.h"

namespace hypura {
namespace {

using testing::Test;

struct PartKeys {
  uint16_t index = 0;
  uint16_t count = 2;
  int32_t tensors = 5;
  const char* architecture = nullptr;
};

std::string part_bytes(const PartKeys& part, const std::vector<TestTensor>& tensors) {
  return gguf_bytes(
      [&](gguf_context* file) {
        if (part.index == 0) {
          set_small_keys(file);
        }
        if (part.architecture != nullptr) {
          gguf_set_val_str(file, "general.architecture", part.architecture);
        }
        gguf_set_val_u16(file, "split.no", part.index);
        gguf_set_val_u16(file, "split.count", part.count);
        gguf_set_val_i32(file, "split.tensors.count", part.tensors);
      },
      tensors);
}

// The small model in two parts of 2 and 3 tensors.
class Splits : public Test {
 protected:
  std::vector<TestTensor> tensors(size_t from, size_t to) const {
    const std::vector<TestTensor> all = small_tensors();
    return {all.begin() + static_cast<ptrdiff_t>(from), all.begin() + static_cast<ptrdiff_t>(to)};
  }
  std::filesystem::path write_first(const PartKeys& keys = {}) const {
    return dir_.write("small-00001-of-00002.gguf", part_bytes(keys, tensors(0, 2)));
  }
  std::filesystem::path write_second(const PartKeys& keys = {.index = 1}) const {
    return dir_.write("small-00002-of-00002.gguf", part_bytes(keys, tensors(2, 5)));
  }

  TempDir dir_;
};

TEST_F(Splits, ExtensionsMayBeInCapitals) {
  const auto first = dir_.write("big-00001-of-00002.GGUF", part_bytes({}, tensors(0, 2)));
  const auto second = dir_.write("big-00002-of-00002.GGUF", part_bytes({.index = 1}, tensors(2, 5)));
  for (const std::filesystem::path& given : {first, second}) {
    const Result<Model> model = open_model(given);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->files[1].path, second);
  }
  std::filesystem::rename(second, dir_.path() / "big-00002-of-00002.gguf");
  const Result<Model> mixed = open_model(first);
  ASSERT_TRUE(mixed) << mixed.error().message;
  EXPECT_EQ(mixed->files[1].path.extension(), ".gguf");
}

TEST_F(Splits, TheOtherPartsAreBesideTheLink) {
  // As in Hugging Face's cache: what the links lead to is named by its hash.
  dir_.write("blobs/aa", part_bytes({}, tensors(0, 2)));
  dir_.write("blobs/bb", part_bytes({.index = 1}, tensors(2, 5)));
  const std::filesystem::path snapshot = dir_.path() / "snapshots/c1";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_symlink("../../blobs/aa", snapshot / "small-00001-of-00002.gguf");
  std::filesystem::create_symlink("../../blobs/bb", snapshot / "small-00002-of-00002.gguf");
  const Result<Model> model = open_model(snapshot / "small-00001-of-00002.gguf");
  ASSERT_TRUE(model) << model.error().message;
  ASSERT_EQ(model->files.size(), 2U);
  EXPECT_EQ(model->files[1].path, snapshot / "small-00002-of-00002.gguf");
  EXPECT_EQ(model->tensors.size(), 5U);
}

TEST_F(Splits, AnyPartOpensTheSet) {
  const std::filesystem::path first = write_first();
  const std::filesystem::path second = write_second();
  for (const std::filesystem::path& given : {first, second}) {
    const Result<Model> model = open_model(given);
    ASSERT_TRUE(model) << model.error().message;
    ASSERT_EQ(model->files.size(), 2U);
    EXPECT_EQ(model->files[0].path, first);
    EXPECT_EQ(model->files[1].path, second);
    EXPECT_EQ(model->tensors.size(), 5U);
    EXPECT_EQ(model->find("token_embd.weight")->extent.file, 0U);
    EXPECT_EQ(model->find("output.weight")->extent.file, 1U);
    EXPECT_EQ(model->find("blk.0.ffn_down_exps.weight")->expert_extent(3).file, 1U);
    EXPECT_EQ(model->experts, 4);
  }
}

TEST_F(Splits, FirstPartMayHoldKeysOnly) {
  dir_.write("small-00001-of-00002.gguf", part_bytes({}, {}));
  const std::filesystem::path second = dir_.write("small-00002-of-00002.gguf", part_bytes({.index = 1}, tensors(0, 5)));
  const Result<Model> model = open_model(second);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->tensors.size(), 5U);
}

TEST_F(Splits, MissingPartIsNamed) {
  const std::filesystem::path first = write_first();
  const Result<Model> model = open_model(first);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kBadModel);
  EXPECT_NE(model.error().message.find("small-00002-of-00002.gguf"), std::string::npos) << model.error().message;
  std::filesystem::remove(first);
  const Result<Model> other = open_model(write_second());
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("small-00001-of-00002.gguf"), std::string::npos) << other.error().message;
}

TEST_F(Splits, ForeignPartIsRefused) {
  const std::filesystem::path first = write_first();
  const struct {
    PartKeys keys;
    const char* key = nullptr;
  } cases[] = {{{.index = 1, .count = 3}, "split.count is 3"},
               {{.index = 1, .count = 1}, "split.count is 1"},
               {{.index = 1, .tensors = 9}, "split.tensors.count is 9"},
               {{.index = 1, .architecture = "mamba"}, "general.architecture is mamba"},
               {{.index = 0}, "split.no is 0"}};
  for (const auto& wrong : cases) {
    write_second(wrong.keys);
    const Result<Model> model = open_model(first);
    ASSERT_FALSE(model) << wrong.key;
    EXPECT_EQ(model.error().code, ErrorCode::kBadModel);
    EXPECT_NE(model.error().message.find(wrong.key), std::string::npos) << model.error().message;
    EXPECT_NE(model.error().message.find("small-00002-of-00002.gguf"), std::string::npos) << model.error().message;
  }
}

TEST_F(Splits, DamagedPartIsNamed) {
  write_first();
  const std::filesystem::path second = write_second();
  std::filesystem::resize_file(second, std::filesystem::file_size(second) - 64);
  expect_error(second, ErrorCode::kBadModel, {"tensor output.weight is cut off"});
}

TEST_F(Splits, TensorInTwoPartsIsRefused) {
  write_first();
  const std::filesystem::path second = dir_.write("small-00002-of-00002.gguf", part_bytes({.index = 1}, tensors(1, 4)));
  expect_error(second, ErrorCode::kBadModel, {"tensor blk.0.attn_norm.weight is also in another part"});
}

TEST_F(Splits, PartsMustHoldAllTensors) {
  write_second({.index = 1, .tensors = 6});
  expect_error(write_first({.tensors = 6}), ErrorCode::kBadModel, {"split.tensors.count is 6", "5 tensors"});
}

TEST_F(Splits, ImpossiblePlacesAreRefused) {
  expect_error(dir_.write("other.gguf", part_bytes({}, tensors(0, 2))), ErrorCode::kBadModel,
               {"part 1 of 2", "-00001-of-00002.gguf"});
  expect_error(write_first({.index = 2}), ErrorCode::kBadModel, {"split.no is 2"});
  const auto wide = [](gguf_context* file) {
    set_small_keys(file);
    gguf_set_val_u16(file, "split.count", 2);
    gguf_set_val_u32(file, "split.no", 0);
  };
  expect_error(dir_.write("w-00001-of-00002.gguf", gguf_bytes(wide, tensors(0, 2))), ErrorCode::kBadModel,
               {"key split.no is not a whole number of 16 bits"});
  const auto half = [](gguf_context* file) {
    set_small_keys(file);
    gguf_set_val_u16(file, "split.count", 2);
  };
  expect_error(dir_.write("h-00001-of-00002.gguf", gguf_bytes(half, tensors(0, 2))), ErrorCode::kBadModel,
               {"key split.no is missing"});
}

}  // namespace
}  // namespace hypura
