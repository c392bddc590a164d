// For tests: a small model, and copies of it whose file says something else.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ggml.h"
#include "gguf.h"
#include "make_model/make_model.h"

namespace hypura {

// One layer, 64 wide, with random weights and the vocabulary of the stories model.
inline std::filesystem::path make_tiny_model(const std::filesystem::path& path) {
  ModelSpec spec;
  spec.output = path;
  spec.type = "Q8_0";
  spec.layers = 1;
  spec.embedding = spec.ff = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.context = 256;
  const auto made = make_model(spec);
  EXPECT_TRUE(made) << made.error().message;
  return path;
}

struct ModelChange {
  std::function<void(gguf_context*)> keys = [](gguf_context*) {};
  std::function<bool(std::string_view)> keeps = [](std::string_view) { return true; };
  std::function<void(ggml_tensor*)> weights = [](ggml_tensor*) {};
  std::vector<std::string> more_tensors;  // of 32 numbers each
};

// Copies `from` to `to`, changed.
inline std::filesystem::path write_changed(const std::filesystem::path& from, const std::filesystem::path& to,
                                           const ModelChange& change) {
  ggml_context* tensors = nullptr;
  gguf_context* header = gguf_init_from_file(from.c_str(), {false, &tensors});
  EXPECT_NE(header, nullptr);
  ggml_context* more = ggml_init({64 * 1024, nullptr, false});
  gguf_context* changed = gguf_init_empty();
  gguf_set_kv(changed, header);
  change.keys(changed);
  for (int64_t i = 0; i < gguf_get_n_tensors(header); ++i) {
    const char* name = gguf_get_tensor_name(header, i);
    ggml_tensor* tensor = ggml_get_tensor(tensors, name);
    change.weights(tensor);
    if (change.keeps(name)) {
      gguf_add_tensor(changed, tensor);
    }
  }
  for (const std::string& name : change.more_tensors) {
    ggml_tensor* tensor = ggml_new_tensor_1d(more, GGML_TYPE_F32, 32);
    ggml_set_name(tensor, name.c_str());
    gguf_add_tensor(changed, tensor);
  }
  EXPECT_TRUE(gguf_write_to_file(changed, to.c_str(), false));
  gguf_free(changed);
  gguf_free(header);
  ggml_free(tensors);
  ggml_free(more);
  return to;
}

// The texts of a header's vocabulary.
inline std::vector<std::string> texts_of(const gguf_context* header) {
  std::vector<std::string> texts;
  const int64_t key = gguf_find_key(header, "tokenizer.ggml.tokens");
  for (size_t i = 0; i < gguf_get_arr_n(header, key); ++i) {
    texts.emplace_back(gguf_get_arr_str(header, key, i));
  }
  return texts;
}

inline void set_texts(gguf_context* header, const char* key, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(text.c_str());
  }
  gguf_set_arr_str(header, key, pointers.data(), pointers.size());
}

}  // namespace hypura
