// Files that are no language model, and models with more in their file than the model.
#include "model/kinds.h"

#include "model/test_gguf.h"

namespace hypura {
namespace {

class Kinds : public testing::Test {
 protected:
  void expect(const SetKeys& keys, const std::string& what) {
    expect_error(dir_.write("other.gguf", gguf_bytes(keys, small_tensors())), ErrorCode::kBadModel, {what});
  }

  TempDir dir_;
};

TEST_F(Kinds, FilesSayWhatTheyAre) {
  expect(
      [](gguf_context* file) {
        set_small_keys(file);
        gguf_set_val_str(file, "general.type", "adapter");
        gguf_set_val_str(file, "adapter.type", "lora");
      },
      "is an adapter (LoRA)");
  expect(
      [](gguf_context* file) {
        gguf_set_val_str(file, "general.architecture", "llama");
        gguf_set_val_str(file, "adapter.type", "lora");
      },
      "is an adapter (LoRA)");
  expect([](gguf_context* file) { gguf_set_val_str(file, "general.architecture", "clip"); }, "is a projector (mmproj)");
  expect(
      [](gguf_context* file) {
        set_small_keys(file);
        gguf_set_val_str(file, "general.type", "mmproj");
      },
      "is a projector (mmproj)");
  expect([](gguf_context* file) { gguf_set_val_str(file, "general.architecture", "controlvector"); },
         "is a control vector");
  expect([](gguf_context* file) { gguf_set_val_str(file, "general.type", "imatrix"); }, "is an importance matrix");
  expect([](gguf_context* file) { gguf_set_val_u32(file, "imatrix.chunk_count", 3); }, "is an importance matrix");
}

TEST_F(Kinds, AModelSaysThatItIsOneOrNothing) {
  for (const char* type : {"model", "", "something new"}) {
    const auto path = dir_.write("model.gguf", gguf_bytes(
                                                   [type](gguf_context* file) {
                                                     set_small_keys(file);
                                                     gguf_set_val_str(file, "general.type", type);
                                                   },
                                                   small_tensors()));
    EXPECT_TRUE(open_model(path)) << type;
  }
}

TEST_F(Kinds, OtherFormatsAreNamed) {
  const std::pair<std::string, const char*> cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"},
      {"<!DOCTYPE html><html>", "a web page"},
      {std::string("\x40\0\0\0\0\0\0\0{\"__metadata__\"", 24), "a safetensors file"},
      {"PK\x03\x04 archive/data.pkl", "PyTorch"},
      {"tjgg and so on", "a GGML file"},
      {"something else", "does not start with"}};
  for (const auto& [bytes, what] : cases) {
    expect_error(dir_.write("other.gguf", bytes), ErrorCode::kBadModel, {"is not a GGUF file", what});
  }
}

TEST_F(Kinds, PartsForImagesAndSoundAreKeptApart) {
  std::vector<TestTensor> tensors = small_tensors();
  for (const char* name : {"v.blk.0.attn_q.weight", "mm.0.weight", "a.conv1d.1.bias"}) {
    tensors.push_back({name, GGML_TYPE_F32, {32}});
  }
  const auto path = dir_.write("whole.gguf", gguf_bytes(set_small_keys, tensors));
  const auto model = open_model(path);
  ASSERT_TRUE(model) << model.error().message;
  const auto plain = open_model(dir_.write("plain.gguf", small_model()));
  ASSERT_TRUE(plain);
  EXPECT_EQ(model->tensors.size(), plain->tensors.size());
  EXPECT_EQ(model->bytes, plain->bytes);
  EXPECT_EQ(model->parameters, plain->parameters);
  ASSERT_EQ(model->other_parts.size(), 3U);
  EXPECT_EQ(model->other_parts[0].name, "v.blk.0.attn_q.weight");
}

TEST_F(Kinds, NamesAreMadePrintable) {
  const auto named = [&](const char* name) {
    return open_model(dir_.write("named.gguf", gguf_bytes(
                                                   [name](gguf_context* file) {
                                                     set_small_keys(file);
                                                     gguf_set_val_str(file, "general.name", name);
                                                   },
                                                   small_tensors())))
        .value()
        .name;
  };
  EXPECT_EQ(named("Nice\x1b[31m\nmodel"), "Nice?[31m?model");
  EXPECT_EQ(named("a\u202eb\xff"), "a?b?");
  EXPECT_EQ(named("Größe 7B"), "Größe 7B");
  for (const char* architecture : {"ll\x1b[2Jama", "a b", "llama\n", "\u202ellama"}) {
    expect(
        [architecture](gguf_context* file) {
          set_small_keys(file);
          gguf_set_val_str(file, "general.architecture", architecture);
        },
        "is not a name");
  }
}

}  // namespace
}  // namespace hypura
