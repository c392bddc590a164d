// Files that llama.cpp would end the process for: whatever a vocabulary or a hyperparameter can have wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "hypura/generator.h"
#include "hypura/plan.h"
#include "hypura/repack.h"
#include "llama/open/changed_model_for_test.h"
#include "make_model/zero_model.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

using Keys = std::function<void(gguf_context*)>;

class HostileFile : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TempDir;
    make_tiny_model(tiny());
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::filesystem::path tiny() { return folder_->path() / "tiny.gguf"; }

  static std::filesystem::path changed(const ModelChange& change) {
    return write_changed(tiny(), folder_->path() / "changed.gguf", change);
  }
  static std::filesystem::path with_keys(const Keys& keys) {
    ModelChange change;
    change.keys = keys;
    return changed(change);
  }

  // Of zeros, and quick to open: for what is tried many times.
  static std::filesystem::path zeros_with(const Keys& keys) {
    return folder_->write("changed.gguf", llama_like("llama").bytes(keys));
  }

  static EngineOptions options(const std::filesystem::path& path) {
    EngineOptions options;
    options.model = path;
    options.memory = kGiB;
    options.context = 64;
    options.threads = 1;
    options.run_history = false;
    return options;
  }

  // One token after some text; or why not.
  static Status run(const std::filesystem::path& path) {
    const auto engine = Engine::open(options(path));
    if (!engine) {
      return propagate(engine.error());
    }
    return (*(*engine)->new_session())->complete("Hello, w\n12", greedy(2)).map([](const Generated&) {});
  }

  // The same refusal from all that look into a model, with `words` in it.
  static void expect_refused(const std::filesystem::path& path, const std::string& words) {
    const Status outcomes[] = {run(path), plan_model(options(path), nullptr).map([](const Plan&) {}),
                               repack_model(path).map([](const RepackSummary&) {})};
    for (const Status& outcome : outcomes) {
      ASSERT_FALSE(outcome) << words;
      EXPECT_EQ(outcome.error().code, ErrorCode::kBadModel) << outcome.error().message;
      EXPECT_THAT(outcome.error().message, HasSubstr("changed.gguf"));
      EXPECT_THAT(outcome.error().message, HasSubstr(words));
    }
  }

  // Whatever it is, it works or is an error that a user can do something about.
  static void expect_survived(const std::filesystem::path& path, const std::string& what) {
    const Status outcome = run(path);
    if (!outcome) {
      EXPECT_THAT(outcome.error().code,
                  AnyOf(ErrorCode::kBadModel, ErrorCode::kUsage, ErrorCode::kBudget, ErrorCode::kContextFull))
          << what << ": " << outcome.error().message;
    }
  }

  static inline TempDir* folder_ = nullptr;
};

// A key's value, changed in every way that its type allows, and then its type.
std::vector<Keys> variants(const std::string& key) {
  std::vector<Keys> all = {[key](gguf_context* file) { gguf_remove_key(file, key.c_str()); },
                           [key](gguf_context* file) { gguf_set_val_str(file, key.c_str(), "four"); },
                           [key](gguf_context* file) { gguf_set_val_bool(file, key.c_str(), true); },
                           [key](gguf_context* file) { gguf_set_val_i32(file, key.c_str(), -1); },
                           [key](gguf_context* file) {
                             const uint32_t several[] = {2, 1, 0};
                             gguf_set_arr_data(file, key.c_str(), GGUF_TYPE_UINT32, several, 3);
                           }};
  for (const uint32_t number : {0U, 1U, 3U, 100U, 1U << 16, uint32_t{INT32_MAX}, UINT32_MAX}) {
    all.emplace_back([key, number](gguf_context* file) { gguf_set_val_u32(file, key.c_str(), number); });
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float number : {0.0F, -1.0F, 1e30F, std::nanf(""), kInfinity, -kInfinity}) {
    all.emplace_back([key, number](gguf_context* file) { gguf_set_val_f32(file, key.c_str(), number); });
  }
  return all;
}

TEST_F(HostileFile, NoHyperparameterEndsTheProcess) {
  for (const char* name :
       {"block_count", "embedding_length", "context_length", "feed_forward_length", "vocab_size",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base", "expert_count",
        "expert_used_count", "rope.scaling.type", "rope.scaling.factor", "attention.sliding_window"}) {
    for (const Keys& keys : variants(std::string("llama.") + name)) {
      expect_survived(zeros_with(keys), name);
    }
  }
}

TEST_F(HostileFile, NoPartOfTheVocabularyEndsTheProcess) {
  for (const char* name : {"bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id", "padding_token_id",
                           "add_bos_token", "model", "pre", "tokens", "token_type", "merges", "scores"}) {
    for (const Keys& keys : variants(std::string("tokenizer.ggml.") + name)) {
      expect_survived(zeros_with(keys), name);
    }
  }
}

TEST_F(HostileFile, TheTextsOfAVocabularyMayBeAnything) {
  const auto with_texts = [](const std::function<std::string(size_t, const std::string&)>& text) {
    return with_keys([&](gguf_context* file) {
      std::vector<std::string> texts = texts_of(file);
      for (size_t i = 0; i < texts.size(); ++i) {
        texts[i] = text(i, texts[i]);
      }
      set_texts(file, "tokenizer.ggml.tokens", texts);
    });
  };
  expect_survived(with_texts([](size_t, const std::string&) { return ""; }), "empty");
  expect_survived(with_texts([](size_t i, const std::string&) { return "\xff\xfe" + std::to_string(i); }), "bytes");
  expect_survived(
      with_texts([](size_t i, const std::string& text) { return i == 9 ? std::string(1 << 16, 'y') : text; }), "long");
  expect_survived(with_keys([](gguf_context* file) {  // one that falls back to bytes, and has none
                    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
                  }),
                  "no bytes");
  for (const char* model : {"bert", "t5", "rwkv", "plamo2", "gemma4", "none", "\x1b[31m", ""}) {
    expect_survived(with_keys([&](gguf_context* file) { gguf_set_val_str(file, "tokenizer.ggml.model", model); }),
                    model);
  }
  expect_survived(with_keys([](gguf_context* file) {
                    set_texts(file, "tokenizer.ggml.merges", {"", " ", "a", "x y z"});
                  }),
                  "merges");
}

TEST_F(HostileFile, WhatIsKnownToBeWrongIsNamed) {
  expect_refused(with_keys([](gguf_context* file) {
                   std::vector<std::string> texts = texts_of(file);
                   texts[300] = texts[299] = "\x1b[2Jx";
                   set_texts(file, "tokenizer.ggml.tokens", texts);
                 }),
                 "tokens 299 and 300 of its vocabulary are both '?[2Jx'");
  for (const float epsilon : {-1.0F, -1e-6F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    expect_refused(with_keys([&](gguf_context* file) {
                     gguf_set_val_f32(file, "llama.attention.layer_norm_rms_epsilon", epsilon);
                   }),
                   "epsilon");
  }
  expect_refused(with_keys([](gguf_context* file) { gguf_set_val_str(file, "tokenizer.ggml.pre", "brand-new"); }),
                 "unknown pre-tokenizer type: 'brand-new'");
  expect_refused(with_keys([](gguf_context* file) { gguf_set_val_str(file, "tokenizer.ggml.model", "brand-new"); }),
                 "unknown tokenizer: 'brand-new'");
  expect_refused(with_keys([](gguf_context* file) { gguf_remove_key(file, "tokenizer.ggml.model"); }), "no vocabulary");
  const float too_few[] = {1, 2, 3};
  expect_refused(with_keys([&](gguf_context* file) {
                   gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, too_few, 3);
                 }),
                 "scores");
  expect_refused(with_keys([](gguf_context* file) { gguf_set_val_u32(file, "llama.attention.head_count", 0); }), "");
}

TEST_F(HostileFile, TheReasonOfAFailedLoadIsTold) {
  ModelChange missing;
  missing.keeps = [](std::string_view name) { return name != "blk.0.attn_norm.weight"; };
  expect_refused(changed(missing), "tensor 'blk.0.attn_norm.weight' not found");
  ModelChange surplus;
  surplus.more_tensors = {"blk.0.attn_surplus.weight"};
  expect_refused(changed(surplus), "wrong number of tensors");
  expect_refused(with_keys([](gguf_context* file) { gguf_set_val_u32(file, "llama.feed_forward_length", 96); }),
                 "has wrong shape");
  expect_refused(with_keys([](gguf_context* file) {
                   for (const char* key : {"block_count", "embedding_length", "context_length"}) {
                     gguf_set_val_u32(file, fmt::format("brandnew.{}", key).c_str(), 64);
                   }
                   gguf_set_val_str(file, "general.architecture", "brandnew");
                 }),
                 "unknown model architecture: 'brandnew'");
}

TEST_F(HostileFile, PartsForImagesAreLeftOut) {
  ModelChange change;
  change.more_tensors = {"v.blk.0.attn_k.weight", "mm.input_projection.weight", "a.blk.0.conv.bias"};
  const auto path = changed(change);
  const auto engine = Engine::open(options(path));
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_THAT((*engine)->plan().warnings, testing::Contains(HasSubstr("image and audio parts (384 B) are not loaded")));
  const auto plain = Engine::open(options(tiny()));
  ASSERT_TRUE(plain);
  const auto text = (*(*engine)->new_session())->complete("Hello", greedy(8));
  ASSERT_TRUE(text);
  EXPECT_EQ(text->text, (*(*plain)->new_session())->complete("Hello", greedy(8))->text);
}

// In the last norm, so that every logit is of that kind.
std::filesystem::path with_weights_of(const std::filesystem::path& from, const std::filesystem::path& to, float value) {
  ModelChange change;
  change.weights = [value](ggml_tensor* tensor) {
    if (std::string_view(tensor->name) == "output_norm.weight") {
      std::fill_n(static_cast<float*>(tensor->data), ggml_nelements(tensor), value);
    }
  };
  return write_changed(from, to, change);
}

TEST_F(HostileFile, OutputThatIsNoNumberIsAnError) {
  for (const float weight : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38F}) {
    const auto path = with_weights_of(tiny(), folder_->path() / "nan.gguf", weight);
    const Status outcome = run(path);
    ASSERT_FALSE(outcome) << weight;
    EXPECT_EQ(outcome.error().code, ErrorCode::kBadModel);
    EXPECT_THAT(outcome.error().message, HasSubstr("not a number"));
  }
}

TEST_F(HostileFile, AServedAnswerEndsWithTheErrorAndTheServerGoesOn) {
  Generator::Options served;
  served.engine = options(with_weights_of(tiny(), folder_->path() / "nan.gguf", std::nanf("")));
  served.parallel = 2;
  const auto generator = Generator::open(served);
  ASSERT_TRUE(generator) << generator.error().message;
  for (int i = 0; i < 3; ++i) {
    const Heard heard = ask(**generator, continuing("Hello", 4));
    EXPECT_EQ(heard.end.stop, StopReason::kError);
    ASSERT_TRUE(heard.end.error);
    EXPECT_THAT(heard.end.error->message, HasSubstr("not a number"));
    EXPECT_EQ(heard.content, "");
  }
  EmbedRequest embed;
  embed.text = "Hello";
  const auto embedding = (*generator)->embed(embed);
  ASSERT_FALSE(embedding);
  EXPECT_THAT(embedding.error().message, HasSubstr("not finite"));
}

TEST_F(HostileFile, AVocabularyThatCannotTakeATextApartIsAnErrorOfTheRequest) {
  const auto path = with_keys([](gguf_context* file) {  // bytes are what it falls back to, and it has none
    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
    std::vector<std::string> texts;
    for (size_t i = 0; i < 8192; ++i) {
      texts.push_back("token" + std::to_string(i));
    }
    set_texts(file, "tokenizer.ggml.tokens", texts);
  });
  const Status outcome = run(path);
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("vocabulary"));
  Generator::Options served;
  served.engine = options(path);
  const auto generator = Generator::open(served);
  ASSERT_TRUE(generator) << generator.error().message;
  for (int i = 0; i < 2; ++i) {
    const auto refused = (*generator)->submit(continuing("\x01\x02", 4), std::make_shared<HearingSink>());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("vocabulary"));
  }
}

}  // namespace
}  // namespace hypura
