// Generated models in plain llama.cpp: they load, decode to finite logits, and route as asked.
#include "make_model/make_model.h"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <llama.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "make_model/vocab.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};

// How often each expert was chosen, layer by layer, and the distinct choices.
struct Routing {
  std::map<std::string, std::map<int32_t, int>> counts;
  std::map<std::string, std::set<std::vector<int32_t>>> choices;

  // llama.cpp's evaluation callback: first asks which tensors are wanted, then hands them over.
  static bool observe(ggml_tensor* tensor, bool ask, void* user) {
    const std::string name = tensor->name;
    if (!name.starts_with("ffn_moe_topk-")) {
      return !ask;
    }
    if (ask) {
      return true;
    }
    auto* routing = static_cast<Routing*>(user);
    std::vector<int32_t> ids(static_cast<size_t>(tensor->ne[0]));
    for (int64_t token = 0; token < tensor->ne[1]; ++token) {
      ggml_backend_tensor_get(tensor, ids.data(), static_cast<size_t>(token) * tensor->nb[1],
                              ids.size() * sizeof(int32_t));
      for (const int32_t id : ids) {
        ++routing->counts[name][id];
      }
      std::sort(ids.begin(), ids.end());
      routing->choices[name].insert(ids);
    }
    return true;
  }

  // The share of all selections that goes to the most popular quarter of each layer's experts.
  double top_quarter(size_t experts) const {
    int top = 0;
    int all = 0;
    for (const auto& [layer, of_layer] : counts) {
      std::vector<int> sorted;
      for (const auto& [expert, count] : of_layer) {
        sorted.push_back(count);
      }
      std::sort(sorted.rbegin(), sorted.rend());
      sorted.resize(experts);
      top += std::accumulate(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(experts / 4), 0);
      all += std::accumulate(sorted.begin(), sorted.end(), 0);
    }
    return static_cast<double>(top) / all;
  }

  std::set<int32_t> favourites() const {
    std::set<int32_t> ids;
    for (const auto& [layer, of_layer] : counts) {
      ids.insert(std::max_element(of_layer.begin(), of_layer.end(), [](const auto& a, const auto& b) {
                   return a.second < b.second;
                 })->first);
    }
    return ids;
  }
};

struct Generated {
  std::vector<llama_token> tokens;
  bool finite = true;
  float deviation = 0.0F;  // of the last logits
};

class Llama {
 public:
  explicit Llama(const std::filesystem::path& path, Routing* routing = nullptr) {
    static const bool kLoaded = [] {
      llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
      ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
      return true;
    }();
    EXPECT_TRUE(kLoaded);
    llama_model_params model = llama_model_default_params();
    model.use_extra_bufts = false;  // with AMX's layouts llama.cpp v0.4.0 and v0.5.0 end the process over deepseek2
    model_.reset(llama_model_load_from_file(path.c_str(), model));
    if (!model_) {
      return;
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 1024;
    params.n_threads = 1;
    params.n_threads_batch = 1;
    if (routing != nullptr) {
      params.cb_eval = &Routing::observe;
      params.cb_eval_user_data = routing;
    }
    context_.reset(llama_init_from_model(model_.get(), params));
  }

  bool ready() const { return context_ != nullptr; }
  const llama_vocab* vocab() const { return llama_model_get_vocab(model_.get()); }
  const llama_model* model() const { return model_.get(); }

  std::vector<llama_token> tokenize(const std::string& text) const {
    std::vector<llama_token> tokens(text.size() + 8);
    const int32_t count = llama_tokenize(vocab(), text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                         static_cast<int32_t>(tokens.size()), true, true);
    tokens.resize(static_cast<size_t>(std::max(count, 0)));
    return tokens;
  }

  // Decodes the prompt and then greedily.
  Generated generate(std::vector<llama_token> prompt, int count) {
    Generated result;
    const int32_t n_vocab = llama_vocab_n_tokens(vocab());
    for (int i = 0; i < count; ++i) {
      const auto batch = llama_batch_get_one(prompt.data(), static_cast<int32_t>(prompt.size()));
      if (llama_decode(context_.get(), batch) != 0) {
        result.finite = false;
        return result;
      }
      const std::span logits(llama_get_logits_ith(context_.get(), -1), static_cast<size_t>(n_vocab));
      result.finite &= std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); });
      const float mean = std::accumulate(logits.begin(), logits.end(), 0.0F) / static_cast<float>(n_vocab);
      const float square = std::accumulate(logits.begin(), logits.end(), 0.0F, [mean](float sum, float logit) {
        return sum + (logit - mean) * (logit - mean);
      });
      result.deviation = std::sqrt(square / static_cast<float>(n_vocab));
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      result.tokens.push_back(static_cast<llama_token>(best));
      prompt = {result.tokens.back()};
    }
    return result;
  }

 private:
  std::unique_ptr<llama_model, ModelDeleter> model_;
  std::unique_ptr<llama_context, ContextDeleter> context_;
};

std::vector<llama_token> prompt_of(int length) {
  std::vector<llama_token> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back(1000 + i * 37 % 5000);
  }
  return tokens;
}

ModelSpec tiny(const TempDir& dir, std::string arch, std::string type = "Q4_0") {
  ModelSpec spec;
  spec.output = dir.path() / "model.gguf";
  spec.arch = std::move(arch);
  spec.type = std::move(type);
  spec.layers = 3;
  return spec;
}

std::string contents(const std::filesystem::path& path) {
  std::string bytes(std::filesystem::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

// The bytes of every tensor of a file.
std::map<std::string, std::string> tensors_of(const std::filesystem::path& path) {
  const KeysPtr keys(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  const std::string bytes = contents(path);
  std::map<std::string, std::string> tensors;
  for (int64_t i = 0; keys && i < gguf_get_n_tensors(keys.get()); ++i) {
    tensors[gguf_get_tensor_name(keys.get(), i)] = bytes.substr(
        gguf_get_data_offset(keys.get()) + gguf_get_tensor_offset(keys.get(), i), gguf_get_tensor_size(keys.get(), i));
  }
  return tensors;
}

// How many of `tokens`, which follow the prompt, the model would have said itself.
int predicted_tokens(Llama& llama, const std::vector<llama_token>& prompt, const std::vector<llama_token>& tokens) {
  int count = 0;
  std::vector<llama_token> next = prompt;
  for (const llama_token token : tokens) {
    count += llama.generate(next, 1).tokens == std::vector{token} ? 1 : 0;
    next = {token};
  }
  return count;
}

size_t files_in(const TempDir& dir) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(dir.path()), std::filesystem::directory_iterator()));
}

struct Kind {
  const char* arch;
  const char* type;
  const char* down_type;
  int64_t experts;
  int64_t split;
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.arch << " " << kind.type << " " << kind.down_type << " in " << kind.split;
}

class EveryKind : public testing::TestWithParam<Kind> {};

TEST_P(EveryKind, LoadsAndDecodes) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, GetParam().arch, GetParam().type);
  spec.down_type = GetParam().down_type;
  spec.experts = GetParam().experts;
  spec.split = GetParam().split;
  spec.layers = spec.arch == "qwen3next" ? 4 : 3;  // the fourth is its first with attention
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(files_in(dir), GetParam().split);

  Llama llama(*path);
  ASSERT_TRUE(llama.ready());
  EXPECT_EQ(llama_model_n_layer(llama.model()), spec.layers);
  const Generated text = llama.generate(prompt_of(32), 24);
  EXPECT_TRUE(text.finite);
  EXPECT_GT(text.deviation, 0.3F);
  EXPECT_LT(text.deviation, 3.0F);
  const std::set<llama_token> distinct(text.tokens.begin(), text.tokens.end());
  EXPECT_GT(distinct.size(), 12) << "greedy text runs in a circle";
}

INSTANTIATE_TEST_SUITE_P(MakeModel, EveryKind,
                         testing::Values(Kind{"dense", "Q4_0", "", 0, 1}, Kind{"dense", "Q4_K", "Q6_K", 0, 1},
                                         Kind{"dense", "F16", "", 0, 3}, Kind{"mixtral", "Q8_0", "", 0, 1},
                                         Kind{"mixtral", "Q4_K", "Q6_K", 0, 4}, Kind{"qwen3moe", "Q4_0", "", 0, 1},
                                         Kind{"qwen3moe", "Q6_K", "", 16, 1}, Kind{"qwen2moe", "Q4_0", "", 0, 1},
                                         Kind{"qwen2moe", "Q4_K", "", 16, 1}, Kind{"gpt-oss", "Q4_0", "", 0, 1},
                                         Kind{"gpt-oss", "Q8_0", "", 0, 2}, Kind{"gpt-oss", "F16", "", 8, 1},
                                         Kind{"gpt-oss", "MXFP4_MOE", "", 0, 1}, Kind{"fused", "Q4_0", "", 0, 1},
                                         Kind{"fused", "Q4_0", "Q6_K", 16, 1}, Kind{"deepseek2", "Q2_K", "", 16, 1},
                                         Kind{"glm4moe", "Q4_K_M", "", 16, 1}, Kind{"qwen3next", "Q4_0", "", 16, 1}));

TEST(MakeModel, StaysFiniteForHundredsOfTokens) {
  const TempDir dir;
  const auto path = make_model(tiny(dir, "qwen3moe"));
  ASSERT_TRUE(path) << path.error().message;
  Llama llama(*path);
  ASSERT_TRUE(llama.ready());
  const Generated text = llama.generate(prompt_of(32), 300);
  EXPECT_TRUE(text.finite);
  const std::set<llama_token> distinct(text.tokens.begin(), text.tokens.end());
  EXPECT_GT(distinct.size(), 100);
  for (const llama_token token : text.tokens) {
    EXPECT_FALSE(llama_vocab_is_control(llama.vocab(), token));
  }
}

TEST(MakeModel, TokenizesAndHasTheChatTemplate) {
  const TempDir dir;
  const auto path = make_model(tiny(dir, "dense"));
  ASSERT_TRUE(path) << path.error().message;
  Llama llama(*path);
  Llama donor(HYPURA_SOURCE_DIR "/models/hypura-stories-moe.gguf");
  ASSERT_TRUE(llama.ready() && donor.ready());
  const std::string text = "Once upon a time, there was a little rabbit.";
  EXPECT_EQ(llama.tokenize(text), donor.tokenize(text));
  ASSERT_NE(llama_model_chat_template(llama.model(), nullptr), nullptr);
  EXPECT_STREQ(llama_model_chat_template(llama.model(), nullptr), llama_model_chat_template(donor.model(), nullptr));
}

TEST(MakeModel, AnotherVocabularyCanBeCopied) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, "dense");
  spec.layers = 1;
  spec.vocab = HYPURA_SOURCE_DIR "/deps/llama.cpp/models/ggml-vocab-gpt-2.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  Llama llama(*path);
  ASSERT_TRUE(llama.ready());
  EXPECT_EQ(llama_vocab_n_tokens(llama.vocab()), 50257);
  EXPECT_TRUE(llama.generate(llama.tokenize("Hello world"), 2).finite);
}

TEST(MakeModel, SeedDecidesTheBytes) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, "qwen3moe", "Q4_0");
  spec.experts = 16;
  ASSERT_TRUE(make_model(spec));
  const std::string first = contents(spec.output);
  ASSERT_TRUE(make_model(spec));
  EXPECT_TRUE(first == contents(spec.output));
  spec.seed = 2;
  ASSERT_TRUE(make_model(spec));
  EXPECT_FALSE(first == contents(spec.output));
}

TEST(MakeModel, ADraftHoldsTheFirstLayersOfTheWholeModel) {
  for (const char* arch : {"dense", "qwen3moe", "fused"}) {
    const TempDir dir;
    ModelSpec spec = tiny(dir, arch);
    spec.layers = 8;
    spec.quiet_after = 2;
    const auto whole = make_model(spec);
    ASSERT_TRUE(whole) << whole.error().message;
    spec.output = dir.path() / "draft.gguf";
    spec.keep_layers = 2;
    const auto draft = make_model(spec);
    ASSERT_TRUE(draft) << draft.error().message;

    const auto all = tensors_of(*whole);
    const auto kept = tensors_of(*draft);
    ASSERT_FALSE(kept.empty());
    for (const auto& [name, bytes] : kept) {
      ASSERT_TRUE(all.contains(name)) << arch << ": " << name;
      EXPECT_TRUE(all.at(name) == bytes) << arch << ": " << name;
    }
    for (const char* name : {"token_embd.weight", "output_norm.weight", "output.weight", "blk.1.attn_q.weight"}) {
      EXPECT_TRUE(kept.contains(name)) << arch << ": " << name;
    }
    EXPECT_FALSE(kept.contains("blk.2.attn_q.weight")) << arch;
    Llama llama(*draft);
    ASSERT_TRUE(llama.ready()) << arch;
    EXPECT_EQ(llama_model_n_layer(llama.model()), 2) << arch;
    EXPECT_TRUE(llama.generate(prompt_of(8), 2).finite) << arch;
  }
}

TEST(MakeModel, QuietLayersLetTheDraftPredictTheWholeModel) {
  constexpr int kTokens = 96;
  std::map<int64_t, int> count;
  for (const int64_t quiet_after : {0, 2}) {
    const TempDir dir;
    ModelSpec spec = tiny(dir, "dense");
    spec.layers = 8;
    spec.quiet_after = quiet_after;
    const auto whole = make_model(spec);
    spec.output = dir.path() / "draft.gguf";
    spec.keep_layers = 2;
    const auto draft = make_model(spec);
    ASSERT_TRUE(whole && draft);
    Llama target(*whole);
    Llama small(*draft);
    ASSERT_TRUE(target.ready() && small.ready());
    const Generated text = target.generate(prompt_of(32), kTokens);
    EXPECT_TRUE(text.finite);
    EXPECT_GT(std::set<llama_token>(text.tokens.begin(), text.tokens.end()).size(), 24) << "text runs in a circle";
    count[quiet_after] = predicted_tokens(small, prompt_of(32), text.tokens);
  }
  EXPECT_GT(count[2], kTokens * 2 / 3);
  EXPECT_LT(count[0], kTokens * 2 / 3);
}

TEST(MakeModel, SkewMakesSomeExpertsPopular) {
  for (const char* arch : {"mixtral", "qwen3moe", "qwen2moe", "gpt-oss", "fused", "deepseek2", "qwen3next"}) {
    std::map<double, double> share;
    for (const double skew : {0.0, 1.0}) {
      const TempDir dir;
      ModelSpec spec = tiny(dir, arch);
      spec.skew = skew;
      spec.layers = 4;
      spec.experts = 64;
      const auto path = make_model(spec);
      ASSERT_TRUE(path) << path.error().message;
      Routing routing;
      Llama llama(*path, &routing);
      ASSERT_TRUE(llama.ready());
      ASSERT_TRUE(llama.generate(prompt_of(128), 128).finite);
      share[skew] = routing.top_quarter(64);
      RecordProperty(fmt::format("{}_skew_{}", arch, skew), fmt::format("{:.3f}", share[skew]));
      for (const auto& [layer, choices] : routing.choices) {
        EXPECT_GT(choices.size(), 50) << arch << ": " << layer << " hardly varies";
      }
      EXPECT_GT(routing.favourites().size(), 1) << arch << ": all layers prefer one expert";
    }
    EXPECT_LT(share[0.0], 0.5) << arch;
    EXPECT_GT(share[1.0], 0.58) << arch;
  }
}

TEST(MakeModel, SparseHasLengthButNoBlocks) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, "qwen3moe");
  spec.layers = 0;
  spec.size = 20 * kGiB;
  spec.sparse = true;
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  struct stat info = {};
  ASSERT_EQ(stat(path->c_str(), &info), 0);
  EXPECT_GT(static_cast<uint64_t>(info.st_size), 15 * kGiB);
  EXPECT_LT(static_cast<uint64_t>(info.st_blocks) * 512, 4 * kMiB);
}

TEST(MakeModel, BadPathsAreErrors) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, "dense");
  spec.output = dir.path() / "missing" / "model.gguf";
  auto path = make_model(spec);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kIo);
  EXPECT_THAT(path.error().message, HasSubstr("missing/model.gguf cannot be created"));

  spec = tiny(dir, "dense");
  spec.vocab = dir.path() / "none.gguf";
  path = make_model(spec);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kIo);
  EXPECT_THAT(path.error().message, HasSubstr("none.gguf cannot be read"));
}

TEST(MakeModel, TooLargeForTheDiskIsRefusedAtOnce) {
  const TempDir dir;
  ModelSpec spec = tiny(dir, "mixtral");
  spec.layers = 500;
  spec.embedding = 32768;
  spec.expert_ff = 65536;
  const auto path = make_model(spec);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kIo) << path.error().message;
  EXPECT_THAT(path.error().message, HasSubstr("but the disk has only"));
  EXPECT_EQ(files_in(dir), 0);
}

TEST(MakeModel, FailedWritesLeaveNothingBehind) {
  const TempDir dir;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = kMiB;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto path = make_model(tiny(dir, "mixtral"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code, ErrorCode::kIo);
  EXPECT_THAT(path.error().message, HasSubstr("could not be written"));
  EXPECT_EQ(files_in(dir), 0);
}

}  // namespace
}  // namespace hypura
