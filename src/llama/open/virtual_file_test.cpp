// What the loader trick relies on, in the C library and in llama.cpp.

#include "llama/open/virtual_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "gguf.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"

namespace hypura {
namespace {

Result<Model> demo_model() {
  return open_model(std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf");
}

TEST(VirtualFile, TheHeaderReadsAsGgufWithAlignedTensors) {
  const auto model = demo_model();
  ASSERT_TRUE(model);
  auto header = make_virtual_header(*model);
  ASSERT_TRUE(header);
  const VirtualFile file(*header);
  ggml_context* context = nullptr;
  const GgufPtr parsed(gguf_init_from_file_ptr(file.file(), {true, &context}));
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(gguf_get_n_tensors(parsed.get()), static_cast<int64_t>(model->tensors.size()));
  EXPECT_EQ(gguf_get_data_offset(parsed.get()) % kVirtualAlignment, 0U);
  for (int64_t i = 0; i < gguf_get_n_tensors(parsed.get()); ++i) {
    EXPECT_EQ(gguf_get_tensor_offset(parsed.get(), i) % kVirtualAlignment, 0U);
    EXPECT_EQ(gguf_get_tensor_name(parsed.get(), i), model->tensors[static_cast<size_t>(i)].name);
  }
  EXPECT_GE(gguf_find_key(parsed.get(), "tokenizer.ggml.tokens"), 0);
  EXPECT_LT(gguf_find_key(parsed.get(), "split.count"), 0);
  ggml_free(context);
}

TEST(VirtualFile, ASeekIntoTheDataLandsAtTheEnd) {
  const auto model = demo_model();
  auto header = make_virtual_header(*model);
  const auto data = static_cast<long>(header->bytes.size());
  const auto size = static_cast<long>(header->file_size);
  const VirtualFile file(*header);
  ASSERT_EQ(std::fseek(file.file(), 0, SEEK_END), 0);
  EXPECT_EQ(std::ftell(file.file()), size);
  ASSERT_EQ(std::fseek(file.file(), 0, SEEK_SET), 0);
  EXPECT_EQ(std::ftell(file.file()), 0);
  char magic[4];
  ASSERT_EQ(std::fread(magic, 1, 4, file.file()), 4U);
  EXPECT_EQ(std::string(magic, 4), "GGUF");
  for (long offset : {data, data + 5 * static_cast<long>(kVirtualAlignment), data}) {
    ASSERT_EQ(std::fseek(file.file(), offset, SEEK_SET), 0);
    EXPECT_EQ(std::ftell(file.file()), size);
    EXPECT_EQ(std::fread(magic, 1, 4, file.file()), 0U);
  }
}

TEST(VirtualFile, LlamaLoadsWithoutReadingData) {
  ASSERT_TRUE(init_llama());
  const auto model = demo_model();
  auto header = make_virtual_header(*model);
  const VirtualFile file(*header);
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.use_extra_bufts = false;
  const LlamaModelPtr loaded(llama_model_load_from_file_ptr(file.file(), params));
  // Had the loader read a byte, it would have met the end of the file and failed.
  EXPECT_NE(loaded, nullptr);
}

}  // namespace
}  // namespace hypura
