// For this room's tests: small GGUF files, made with ggml's own writer and then damaged.
#pragma once

#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "model/model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {

struct TestTensor {
  std::string name;
  ggml_type type = GGML_TYPE_F32;
  std::vector<int64_t> shape;
};

using SetKeys = std::function<void(gguf_context*)>;

// A whole file: header, and zeros for data.
inline std::string gguf_bytes(const SetKeys& set_keys, const std::vector<TestTensor>& tensors) {
  const GgufPtr file(gguf_init_empty());
  set_keys(file.get());
  ggml_context* context = ggml_init({(tensors.size() + 1) * ggml_tensor_overhead(), nullptr, true});
  size_t data_size = 0;
  for (const TestTensor& tensor : tensors) {
    ggml_tensor* made =
        ggml_new_tensor(context, tensor.type, static_cast<int>(tensor.shape.size()), tensor.shape.data());
    ggml_set_name(made, tensor.name.c_str());
    gguf_add_tensor(file.get(), made);
    data_size += GGML_PAD(ggml_nbytes(made), gguf_get_alignment(file.get()));
  }
  ggml_free(context);
  std::string bytes(gguf_get_meta_size(file.get()), '\0');
  gguf_get_meta_data(file.get(), bytes.data());
  return bytes.append(data_size, '\0');
}

inline void set_small_keys(gguf_context* file) {
  const char* tokens[] = {"a", "b", "c", "d"};
  gguf_set_val_str(file, "general.architecture", "llama");
  gguf_set_val_str(file, "general.name", "small");
  gguf_set_val_u32(file, "llama.block_count", 1);
  gguf_set_val_u32(file, "llama.embedding_length", 32);
  gguf_set_val_u32(file, "llama.context_length", 128);
  gguf_set_val_u32(file, "llama.expert_count", 4);
  gguf_set_val_u32(file, "llama.expert_used_count", 2);
  gguf_set_arr_str(file, "tokenizer.ggml.tokens", tokens, 4);
}

inline std::vector<TestTensor> small_tensors() {
  return {{"token_embd.weight", GGML_TYPE_F32, {32, 4}},
          {"blk.0.attn_norm.weight", GGML_TYPE_F32, {32}},
          {"blk.0.ffn_gate_exps.weight", GGML_TYPE_Q8_0, {32, 32, 4}},
          {"blk.0.ffn_down_exps.weight", GGML_TYPE_Q8_0, {32, 32, 4}},
          {"output.weight", GGML_TYPE_F16, {32, 4}}};
}

// A valid model of one layer with 4 experts.
inline std::string small_model() {
  return gguf_bytes(set_small_keys, small_tensors());
}

// Where a key's value type, or a tensor's number of dimensions, stands: just behind the name.
inline size_t after_name(const std::string& bytes, const std::string& name) {
  std::string stored(sizeof(uint64_t), '\0');
  const uint64_t length = name.size();
  std::memcpy(stored.data(), &length, sizeof(length));
  const size_t found = bytes.find(stored + name);
  EXPECT_NE(found, std::string::npos) << name;
  return found + stored.size() + name.size();
}

template <class T>
void patch(std::string& bytes, size_t offset, T value) {
  ASSERT_LE(offset + sizeof(T), bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

// Places in the entry of a tensor with `dimensions` dimensions.
struct TensorEntry {
  size_t dimensions, shape, type, offset;
};

inline TensorEntry tensor_entry(const std::string& bytes, const std::string& name, size_t dimensions) {
  const size_t start = after_name(bytes, name);
  const size_t type = start + sizeof(uint32_t) + dimensions * sizeof(int64_t);
  return {start, start + sizeof(uint32_t), type, type + sizeof(int32_t)};
}

// Opens the file and expects `code` and a message that names the file and holds each of `parts`.
inline void expect_error(const std::filesystem::path& path, ErrorCode code, const std::vector<std::string>& parts) {
  const Result<Model> model = open_model(path);
  ASSERT_FALSE(model) << path;
  EXPECT_EQ(model.error().code, code) << model.error().message;
  EXPECT_NE(model.error().message.find(path.filename().string()), std::string::npos) << model.error().message;
  for (const std::string& part : parts) {
    EXPECT_NE(model.error().message.find(part), std::string::npos) << model.error().message << " lacks " << part;
  }
}

}  // namespace hypura
