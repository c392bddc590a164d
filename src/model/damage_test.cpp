// Damaged files of every kind that model.h lists: each must give an error that names the file and the culprit.
#include <algorithm>
#include <limits>

#include "model/header_scan.h"
#include "model/test_gguf.h"

namespace hypura {
namespace {

constexpr size_t kVersionAt = 4;
constexpr size_t kTensorCountAt = 8;
constexpr size_t kKeyCountAt = 16;
constexpr const char* kGate = "blk.0.ffn_gate_exps.weight";
constexpr const char* kDown = "blk.0.ffn_down_exps.weight";

class Damage : public testing::Test {
 protected:
  void expect_bad(const std::vector<std::string>& parts) {
    expect_error(dir_.write("damaged.gguf", bytes_), ErrorCode::kBadModel, parts);
  }
  // Expects an error after `value` was written at `offset`, and undoes that.
  template <class T>
  void expect_bad_with(size_t offset, T value, const std::vector<std::string>& parts) {
    const std::string saved = bytes_;
    patch(bytes_, offset, value);
    expect_bad(parts);
    bytes_ = saved;
  }
  void expect_bad_keys(const SetKeys& change, const std::vector<std::string>& parts) {
    bytes_ = gguf_bytes(
        [&](gguf_context* file) {
          set_small_keys(file);
          change(file);
        },
        small_tensors());
    expect_bad(parts);
  }

  TempDir dir_;
  std::string bytes_ = small_model();
};

TEST_F(Damage, TheUndamagedFileOpens) {
  const Result<Model> model = open_model(dir_.write("damaged.gguf", bytes_));
  EXPECT_TRUE(model) << model.error().message;
}

TEST_F(Damage, WhatIsNoFile) {
  expect_error(dir_.path() / "none.gguf", ErrorCode::kIo, {"cannot be opened"});
  expect_error(dir_.path(), ErrorCode::kIo, {"is not a file"});
  expect_error(dir_.write("empty.gguf", ""), ErrorCode::kBadModel, {"the magic"});
}

TEST_F(Damage, MagicAndVersion) {
  expect_bad_with(0, 'X', {"is not a GGUF file"});
  expect_bad_with<uint32_t>(kVersionAt, 0, {"version 0"});
  expect_bad_with<uint32_t>(kVersionAt, 1, {"version 1"});
  expect_bad_with<uint32_t>(kVersionAt, 4, {"version 4"});
  expect_bad_with<uint32_t>(kVersionAt, 3U << 24, {"big-endian"});
}

TEST_F(Damage, VersionTwoOpens) {
  patch<uint32_t>(bytes_, kVersionAt, 2);
  EXPECT_TRUE(open_model(dir_.write("v2.gguf", bytes_)));
}

TEST_F(Damage, HeaderCutAnywhere) {
  const size_t header_end = tensor_entry(bytes_, "output.weight", 2).offset + sizeof(uint64_t);
  for (size_t length = 0; length < header_end; ++length) {
    expect_error(dir_.write("damaged.gguf", bytes_.substr(0, length)), ErrorCode::kBadModel, {});
  }
}

TEST_F(Damage, DataCutNamesTheTensor) {
  bytes_.pop_back();
  expect_bad({"tensor output.weight is cut off"});
  bytes_.resize(scan_header(dir_.write("scan.gguf", small_model())).value().data_offset + 1);
  expect_bad({"tensor token_embd.weight is cut off"});
}

TEST_F(Damage, AbsurdCounts) {
  for (const uint64_t count : {uint64_t{1} << 63, UINT64_MAX, uint64_t{40000}, uint64_t{10000}}) {
    expect_bad_with(kTensorCountAt, count, {"tensors", "claims"});
    expect_bad_with(kKeyCountAt, count, {"keys", "claims"});
  }
  // A count that is only a little too large meets what is no key or no tensor.
  expect_bad_with<uint64_t>(kKeyCountAt, 9, {"tensor 0"});
  expect_bad_with<uint64_t>(kTensorCountAt, 6, {"tensor"});
}

TEST_F(Damage, AbsurdStrings) {
  const size_t first_key = 24;
  for (const uint64_t length : {uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 31, uint64_t{bytes_.size()}}) {
    expect_bad_with(first_key, length, {"key 0"});
    expect_bad_with(after_name(bytes_, "general.name") + 4, length, {"key general.name"});
    const size_t tokens = after_name(bytes_, "tokenizer.ggml.tokens");
    expect_bad_with(tokens + 4 + 4, length, {"key tokenizer.ggml.tokens"});
    expect_bad_with(tokens + 4 + 4 + 8, length, {"key tokenizer.ggml.tokens"});
    expect_bad_with(after_name(bytes_, "output.weight") - 13 - 8, length, {"tensor 4"});
  }
  expect_bad_with<uint64_t>(first_key, 0, {"key 0", "empty"});
  expect_bad_with(after_name(bytes_, "output.weight") - 1, '\0', {"tensor 4", "not text"});
}

TEST_F(Damage, LongTensorName) {
  const size_t at = after_name(bytes_, "output.weight") - 13;
  bytes_.insert(at, 60, 'x');
  patch<uint64_t>(bytes_, at - 8, 73);
  expect_bad({"tensor 4", "73 bytes"});
}

TEST_F(Damage, UnknownValueTypes) {
  for (const int32_t type : {-1, 13, 1000, std::numeric_limits<int32_t>::min()}) {
    expect_bad_with(after_name(bytes_, "llama.block_count"), type, {"key llama.block_count", "unknown type"});
    expect_bad_with(after_name(bytes_, "tokenizer.ggml.tokens") + 4, type, {"key tokenizer.ggml.tokens"});
  }
  expect_bad_with<int32_t>(after_name(bytes_, "tokenizer.ggml.tokens") + 4, GGUF_TYPE_ARRAY, {"unknown type 9"});
}

TEST_F(Damage, TensorShapes) {
  const TensorEntry gate = tensor_entry(bytes_, kGate, 3);
  expect_bad_with<uint32_t>(gate.dimensions, 5, {kGate, "5 dimensions"});
  expect_bad_with<uint32_t>(gate.dimensions, UINT32_MAX, {kGate, "dimensions"});
  expect_bad_with<int64_t>(gate.shape + 8, -32, {kGate, "-32 elements"});
  expect_bad_with<int64_t>(gate.shape + 8, 0, {kGate, "0 elements"});
  expect_bad_with<int64_t>(gate.shape, 31, {kGate, "not a multiple of the 32"});
  expect_bad_with<int64_t>(gate.shape + 8, int64_t{1} << 62, {kGate, "impossible shape"});
  // 32 * 2^57 * 4 wraps around to zero elements.
  expect_bad_with<int64_t>(gate.shape + 8, int64_t{1} << 57, {kGate, "impossible shape"});
  expect_bad_with<int64_t>(gate.shape + 8, int64_t{1} << 30, {kGate, "is cut off"});
}

TEST_F(Damage, TensorTypes) {
  const TensorEntry gate = tensor_entry(bytes_, kGate, 3);
  for (const int32_t type : {-1, static_cast<int32_t>(GGML_TYPE_COUNT), 1 << 30}) {
    expect_bad_with(gate.type, type, {kGate, "unknown type"});
  }
  // Q4_2, which ggml dropped but whose number it keeps.
  expect_bad_with<int32_t>(gate.type, 4, {kGate, "unknown type 4"});
}

TEST_F(Damage, Extents) {
  const TensorEntry down = tensor_entry(bytes_, kDown, 3);
  uint64_t offset = 0;
  std::memcpy(&offset, bytes_.data() + down.offset, sizeof(offset));
  expect_bad_with<uint64_t>(down.offset, offset + 1, {kDown, "misaligned"});
  expect_bad_with<uint64_t>(down.offset, offset - 32, {kDown, "overlaps"});
  expect_bad_with<uint64_t>(down.offset, 0, {kDown, "overlaps"});
  expect_bad_with<uint64_t>(down.offset, 1U << 20, {kDown, "cut off"});
  expect_bad_with<uint64_t>(down.offset, UINT64_MAX - 31, {kDown, "cut off"});
  // Gaps are left to ggml, whose reason is passed on.
  const TensorEntry output = tensor_entry(bytes_, "output.weight", 2);
  std::memcpy(&offset, bytes_.data() + output.offset, sizeof(offset));
  bytes_.append(32, '\0');
  expect_bad_with<uint64_t>(output.offset, offset + 32, {"tensor 'output.weight' has offset"});
}

TEST_F(Damage, Duplicates) {
  bytes_.replace(bytes_.find(kDown), std::strlen(kDown), kGate);
  expect_bad({"duplicate tensor name", kGate});
  bytes_ = gguf_bytes(
      [](gguf_context* file) {
        set_small_keys(file);
        gguf_set_val_u32(file, "xlama.block_count", 2);
      },
      small_tensors());
  bytes_[bytes_.find("xlama")] = 'l';
  expect_bad({"duplicate key 'llama.block_count'"});
}

TEST_F(Damage, Alignment) {
  const auto with = [&](uint32_t alignment) {
    bytes_ = gguf_bytes(
        [](gguf_context* file) {
          set_small_keys(file);
          gguf_set_val_u32(file, "general.alignment", 64);
        },
        small_tensors());
    patch(bytes_, after_name(bytes_, "general.alignment") + 4, alignment);
  };
  with(64);
  // ggml's writer pads by its default all the same, so the data starts too early by up to 32 bytes.
  const Result<Model> model = open_model(dir_.write("aligned.gguf", bytes_ + std::string(32, '\0')));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->tensors[0].extent.offset % 64, 0U);
  for (const uint32_t alignment : {0U, 3U, UINT32_MAX}) {
    with(alignment);
    expect_bad({"key general.alignment", "power of two"});
  }
  with(1U << 31);
  expect_bad({"tensor token_embd.weight is cut off"});
  with(64);
  patch<int32_t>(bytes_, after_name(bytes_, "general.alignment"), GGUF_TYPE_INT32);
  expect_bad({"key general.alignment has type 5"});
}

TEST_F(Damage, MissingKeys) {
  for (const char* key : {"general.architecture", "llama.block_count", "llama.embedding_length", "llama.context_length",
                          "llama.expert_count", "llama.expert_used_count"}) {
    expect_bad_keys([&](gguf_context* file) { gguf_remove_key(file, key); }, {"key", key, "is missing"});
  }
}

TEST_F(Damage, KeysOfTheWrongType) {
  for (const char* key : {"llama.block_count", "llama.embedding_length", "llama.expert_count", "split.count",
                          "llama.expert_used_count"}) {
    expect_bad_keys([&](gguf_context* file) { gguf_set_val_str(file, key, "four"); }, {"key", key, "is not a"});
    expect_bad_keys([&](gguf_context* file) { gguf_set_val_f32(file, key, 4); }, {"key", key, "is not a"});
  }
  expect_bad_keys([](gguf_context* file) { gguf_set_val_u32(file, "general.name", 4); }, {"key general.name"});
  expect_bad_keys([](gguf_context* file) { gguf_set_val_u32(file, "general.architecture", 4); },
                  {"key general.architecture"});
  const uint32_t two[] = {1, 1};
  expect_bad_keys([&](gguf_context* file) { gguf_set_arr_data(file, "llama.block_count", GGUF_TYPE_UINT32, two, 2); },
                  {"key llama.block_count is not a single number"});
  expect_bad_keys([](gguf_context* file) { gguf_set_val_u64(file, "llama.block_count", UINT64_MAX); },
                  {"key llama.block_count"});
}

TEST_F(Damage, KeysOutOfRange) {
  for (const uint32_t layers : {0U, 513U, UINT32_MAX}) {
    expect_bad_keys([&](gguf_context* file) { gguf_set_val_u32(file, "llama.block_count", layers); },
                    {"key llama.block_count is"});
  }
  expect_bad_keys([](gguf_context* file) { gguf_set_val_u32(file, "llama.expert_count", 4000); },
                  {"key llama.expert_count is 4000"});
  expect_bad_keys([](gguf_context* file) { gguf_set_val_u32(file, "llama.nextn_predict_layers", 2); },
                  {"key llama.nextn_predict_layers is 2"});
  for (const uint32_t used : {0U, 5U}) {
    expect_bad_keys([&](gguf_context* file) { gguf_set_val_u32(file, "llama.expert_used_count", used); },
                    {"key llama.expert_used_count is"});
  }
}

TEST_F(Damage, LayerBeyondTheLast) {
  bytes_.replace(bytes_.find(kDown), 5, "blk.3");
  expect_bad({"tensor blk.3.ffn_down_exps.weight is of layer 3", "llama.block_count is 1"});
}

TEST_F(Damage, NoTensors) {
  bytes_ = gguf_bytes(set_small_keys, {});
  expect_bad({"holds keys but no tensors"});
}

}  // namespace
}  // namespace hypura
