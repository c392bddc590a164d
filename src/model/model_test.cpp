#include "model/model.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <thread>

#include "model/test_gguf.h"

namespace hypura {
namespace {

const std::filesystem::path kStories = HYPURA_SOURCE_DIR "/models/hypura-stories-moe.gguf";

TEST(Model, ReadsTheKeysOfAMoeModel) {
  const Result<Model> model = open_model(kStories);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->architecture, "qwen3moe");
  EXPECT_FALSE(model->name.empty());
  EXPECT_EQ(model->layers, 6);
  EXPECT_EQ(model->experts, 32);
  EXPECT_EQ(model->experts_used, 4);
  EXPECT_NEAR(static_cast<double>(model->parameters), 83.7e6, 0.05e6);
  const TensorInfo* embedding = model->find("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(model->embedding_length, embedding->shape[0]);
  EXPECT_EQ(model->vocabulary, embedding->shape[1]);
  EXPECT_GT(model->context_length, 0);
  EXPECT_EQ(model->find("no.such.tensor"), nullptr);
}

TEST(Model, SortsTensorsIntoRoles) {
  const Model model = open_model(kStories).value();
  std::map<TensorRole, int> count;
  for (const TensorInfo& tensor : model.tensors) {
    ++count[tensor.role];
    EXPECT_EQ(tensor.layer >= 0, tensor.name.starts_with("blk.")) << tensor.name;
    EXPECT_LT(tensor.layer, model.layers);
  }
  EXPECT_EQ(count[TensorRole::kRoutedExpert], 3 * 6);
  EXPECT_EQ(count[TensorRole::kRouter], 6);
  EXPECT_EQ(count[TensorRole::kAttention], 4 * 6);
  EXPECT_EQ(count[TensorRole::kNorm], 4 * 6 + 1);
  EXPECT_EQ(count[TensorRole::kEmbedding], 1);
  EXPECT_EQ(count[TensorRole::kOther], 0);
}

TEST(Model, ExpertExtentsTileTheTensor) {
  const Model model = open_model(kStories).value();
  for (const TensorInfo& tensor : model.tensors) {
    ASSERT_EQ(tensor.experts(), tensor.role == TensorRole::kRoutedExpert ? 32 : 0);
    uint64_t next = tensor.extent.offset;
    for (int64_t expert = 0; expert < tensor.experts(); ++expert) {
      const Extent slice = tensor.expert_extent(expert);
      ASSERT_EQ(slice.offset, next);
      ASSERT_EQ(slice.length, ggml_row_size(static_cast<ggml_type>(tensor.type), tensor.shape[0]) *
                                  static_cast<uint64_t>(tensor.shape[1]));
      next += slice.length;
    }
    if (tensor.experts() > 0) {
      EXPECT_EQ(next, tensor.extent.offset + tensor.extent.length);
    }
  }
}

// Our scan and ggml's parser must agree; this fails when ggml's reading of the format changes.
TEST(Model, AgreesWithGgml) {
  const Model model = open_model(kStories).value();
  const GgufPtr file(gguf_init_from_file(kStories.c_str(), {true, nullptr}));
  ASSERT_EQ(gguf_get_n_tensors(file.get()), static_cast<int64_t>(model.tensors.size()));
  uint64_t bytes = 0;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const TensorInfo& tensor = model.tensors[i];
    const auto id = static_cast<int64_t>(i);
    EXPECT_EQ(tensor.name, gguf_get_tensor_name(file.get(), id));
    EXPECT_EQ(tensor.type, gguf_get_tensor_type(file.get(), id));
    EXPECT_EQ(tensor.extent.length, gguf_get_tensor_size(file.get(), id));
    EXPECT_EQ(tensor.extent.offset, gguf_get_data_offset(file.get()) + gguf_get_tensor_offset(file.get(), id));
    EXPECT_TRUE(std::equal(tensor.shape.begin(), tensor.shape.end(), gguf_get_tensor_ne(file.get(), id)));
    bytes += tensor.extent.length;
  }
  EXPECT_EQ(model.bytes, bytes);
  EXPECT_EQ(model.files.at(0).size, std::filesystem::file_size(kStories));
  EXPECT_GE(gguf_find_key(model.metadata.get(), "tokenizer.ggml.tokens"), 0);
}

TEST(Model, TakesTheLargestOfExpertsUsedPerLayer) {
  const TempDir dir;
  const auto keys = [](gguf_context* file) {
    const uint32_t used[] = {1, 3};
    set_small_keys(file);
    gguf_set_val_u32(file, "llama.block_count", 2);
    gguf_set_arr_data(file, "llama.expert_used_count", GGUF_TYPE_UINT32, used, 2);
  };
  const Result<Model> model = open_model(dir.write("m.gguf", gguf_bytes(keys, small_tensors())));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->experts_used, 3);
}

// Of layers that predict further tokens; a model of nothing else drafts for another one, whatever they are called.
TEST(Model, KnowsItsLastLayersForMtp) {
  const TempDir dir;
  for (const auto& [stated, expected] : {std::pair(0, 0), std::pair(1, 1), std::pair(2, 0)}) {
    const auto set_keys = [stated = stated](gguf_context* file) {
      set_small_keys(file);
      gguf_set_val_u32(file, "llama.block_count", 2);
      gguf_set_val_u32(file, "llama.nextn_predict_layers", static_cast<uint32_t>(stated));
    };
    const Result<Model> model =
        open_model(dir.write(fmt::format("{}.gguf", stated), gguf_bytes(set_keys, small_tensors())));
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->mtp_layers, expected);
    EXPECT_FALSE(model->of_mtp(*model->find("blk.0.attn_norm.weight")));
    EXPECT_FALSE(model->of_mtp(*model->find("output.weight")));
  }
}

TEST(Model, WithoutExpertTensorsItIsDense) {
  const TempDir dir;
  const Result<Model> model = open_model(dir.write(
      "plain.gguf",
      gguf_bytes(
          [](gguf_context* file) {
            set_small_keys(file);
            gguf_remove_key(file, "general.name");
            gguf_remove_key(file, "tokenizer.ggml.tokens");
          },
          {{"token_embd.weight", GGML_TYPE_F32, {32, 7}}, {"blk.0.ffn_up.3.weight", GGML_TYPE_F32, {32, 32}}})));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->experts, 0);
  EXPECT_EQ(model->experts_used, 0);
  EXPECT_EQ(model->name, "plain");
  EXPECT_EQ(model->vocabulary, 7) << "from the embedding, in want of keys";
  EXPECT_EQ(model->tensors[1].role, TensorRole::kDenseFfn);
}

TEST(Model, OpensOnManyThreadsAtOnce) {
  const TempDir dir;
  std::string twice = small_model();
  twice.replace(twice.find("blk.0.ffn_down_exps"), 19, "blk.0.ffn_gate_exps");
  const std::filesystem::path good = dir.write("good.gguf", small_model());
  const std::filesystem::path bad = dir.write("bad.gguf", twice);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_TRUE(open_model(good));
        expect_error(bad, ErrorCode::kBadModel, {"duplicate tensor name 'blk.0.ffn_gate_exps.weight'"});
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(Model, TheLogOfGgmlHearsWhatIsNotOfAHeader) {
  const TempDir dir;
  int logged = 0;
  ggml_log_set([](ggml_log_level, const char*, void* data) { ++*static_cast<int*>(data); }, &logged);
  EXPECT_FALSE(open_model(dir.write("m.gguf", gguf_bytes([](gguf_context*) {}, {}))));
  ggml_log_callback callback = nullptr;
  void* data = nullptr;
  ggml_log_get(&callback, &data);
  EXPECT_EQ(logged, 0);
  callback(GGML_LOG_LEVEL_INFO, "another", data);
  EXPECT_EQ(logged, 1);
  ggml_log_set(nullptr, nullptr);
}

}  // namespace
}  // namespace hypura
