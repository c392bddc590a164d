// A model that drafts by its own MTP layers says what it says without.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "backend/gpu/separate_gpu_for_test.h"
#include "backend/stream_layout.h"
#include "generate/engine/eager_drafts_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "hypura/plan.h"
#include "llama/llama_kv_memory.h"
#include "llama/llama_runtime.h"
#include "llama/open/mtp_layers.h"
#include "llama/plain_llama.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int kLayers = 5;

// One for all tests: a model with `mtp` layers for MTP, which do what its first layer does; the others add little, so
// that they often predict what it says.
std::filesystem::path model_with(int mtp) {
  static const TempDir folder;
  const std::filesystem::path path = folder.path() / fmt::format("mtp{}.gguf", mtp);
  if (!std::filesystem::exists(path)) {
    ModelSpec spec;
    spec.output = path;
    spec.arch = "fused";
    spec.type = "Q8_0";
    spec.layers = kLayers;
    spec.mtp = mtp;
    spec.quiet_after = 1;
    EXPECT_TRUE(make_model(spec));
  }
  return path;
}

EngineOptions options_for(int mtp, uint64_t memory, bool drafts) {
  EngineOptions options;
  options.model = model_with(mtp);
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.run_history = false;
  options.repack = false;  // repacked weights round otherwise for several rows than for one
  options.draft.mtp = drafts;
  return options;
}

const std::string kPrompt = "Tom has a red ball. The old king had three sons, and the youngest went into the woods";

struct Said {
  std::vector<int32_t> tokens;
  EngineStats stats;
  Plan plan;
};

// Two answers of one session, the second to a prompt that begins like the first.
Said say(const EngineOptions& options, const PlanOverrides& overrides = {}) {
  Said said;
  const auto engine = open_eager(options, overrides);
  if (engine == nullptr) {
    return said;
  }
  const auto session = engine->new_session();
  for (const std::string& prompt : {kPrompt, kPrompt + " and met a fox"}) {
    const auto answer = (*session)->complete(prompt, greedy(50));
    EXPECT_TRUE(answer) << answer.error().message;
    if (answer) {
      said.tokens.insert(said.tokens.end(), answer->tokens.begin(), answer->tokens.end());
    }
  }
  said.stats = engine->stats();
  said.plan = engine->plan();
  return said;
}

uint64_t ledger_sum(const Plan& plan) {
  uint64_t sum = 0;
  for (const LedgerLine& line : plan.ledger) {
    sum += line.bytes;
  }
  return sum;
}

// The same at all budgets, resident, with experts streamed, and with dense matrices streamed too.
TEST(Mtp, ASessionSaysTheSameWithDrafts) {
  const Said plain = say(options_for(1, 64 * kMiB, false));
  ASSERT_EQ(plain.tokens.size(), 100U);
  std::vector<std::string> modes;
  for (const auto& [memory, mode] :
       {std::pair(64 * kMiB, Mode::kResident), std::pair(64 * kMiB, Mode::kExpertStreaming),
        std::pair(24 * kMiB, Mode::kExpertStreaming), std::pair(20 * kMiB, Mode::kMixedStreaming)}) {
    PlanOverrides overrides;
    overrides.mode = mode;
    const Said drafting = say(options_for(1, memory, true), overrides);
    EXPECT_EQ(drafting.tokens, plain.tokens) << to_string(mode);
    EXPECT_EQ(drafting.stats.decoded_tokens, plain.stats.decoded_tokens) << to_string(mode);
    EXPECT_GT(drafting.stats.accepted_draft_tokens, 40U) << to_string(mode);
    EXPECT_GT(drafting.stats.drafted_tokens, drafting.stats.accepted_draft_tokens) << to_string(mode);
    EXPECT_LE(ledger_sum(drafting.plan), memory) << to_string(mode);
    EXPECT_THAT(drafting.plan.sentence, HasSubstr("drafts by its MTP layers")) << to_string(mode);
  }
}

// The contexts of the model and of its MTP layers share the slots on the device. ggml's CPU stands for the GPU.
TEST(Mtp, DraftsOnAGpuSayTheSame) {
  const Said plain = say(options_for(1, 64 * kMiB, false));
  ASSERT_TRUE(init_llama());
  SeparateGpu::add();
  SecondGpu::add();
  const std::string both = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
  for (const auto& [gpu, slots] : {std::pair<std::string, uint32_t>("CPU", 6), {"CPU", 1000}, {both, 6}}) {
    PlanOverrides overrides;
    overrides.mode = Mode::kExpertStreaming;
    overrides.gpu = {gpu, slots};
    const Said drafting = say(options_for(1, 64 * kMiB, true), overrides);
    EXPECT_EQ(drafting.tokens, plain.tokens) << gpu << ", " << slots;
    EXPECT_GT(drafting.stats.accepted_draft_tokens, 40U) << gpu << ", " << slots;
  }
}

TEST(Mtp, EachOfSeveralLayersDraftsOneTokenFurther) {
  const Said plain = say(options_for(3, 64 * kMiB, false));
  const Said drafting = say(options_for(3, 64 * kMiB, true));
  EXPECT_EQ(drafting.tokens, plain.tokens);
  EXPECT_GT(drafting.stats.accepted_draft_tokens, 40U);
}

// Drafts that are nearly always wrong cost time and nothing else.
TEST(Mtp, WrongDraftsChangeNothing) {
  const TempDir folder;
  ModelSpec spec;
  spec.output = folder.path() / "loud.gguf";
  spec.arch = "fused";
  spec.type = "Q8_0";
  spec.layers = kLayers;
  spec.mtp = 1;
  ASSERT_TRUE(make_model(spec));
  EngineOptions options = options_for(1, 64 * kMiB, false);
  options.model = spec.output;
  const Said plain = say(options);
  options.draft.mtp = true;
  const Said drafting = say(options);
  EXPECT_EQ(drafting.tokens, plain.tokens);
  EXPECT_GT(drafting.stats.drafted_tokens, 2 * drafting.stats.accepted_draft_tokens);
}

// After right drafts, wrong ones, and an answer whose beginning was kept, the layers have seen what they would have
// seen had the text been there from the start.
TEST(Mtp, DraftsAreThoseOfTheTextAsItStands) {
  for (const int layers : {1, 2}) {
    const EngineOptions options = options_for(layers, 24 * kMiB, true);
    const auto engine = open_eager(options);
    ASSERT_NE(engine, nullptr);
    const auto session = engine->new_session();
    ASSERT_TRUE((*session)->complete(kPrompt + " and", greedy(30)));
    std::vector<int32_t> text = (*session)->tokenize(kPrompt, true, false);
    const auto answer = (*session)->complete(kPrompt, greedy(60));
    ASSERT_TRUE(answer);
    text.insert(text.end(), answer->tokens.begin(), answer->tokens.end());
    EXPECT_GT(engine->stats().accepted_draft_tokens, 20U);
    const auto fresh = open_eager(options);
    ASSERT_NE(fresh, nullptr);
    const auto reader = fresh->new_session();
    ASSERT_TRUE((*reader)->evaluate(std::vector<int32_t>(text.begin(), text.end() - 1)));
    const auto draft = fresh->mtp()->draft(0, text, 8);
    ASSERT_TRUE(draft) << draft.error().message;
    EXPECT_EQ(draft->size(), layers == 1 ? 8U : 2U);
    EXPECT_EQ(*engine->mtp()->draft(0, text, 8), *draft);
  }
}

// A sequence that takes over the beginning of another has what the layers know of it.
TEST(Mtp, DraftsGoWithACopiedBeginning) {
  EngineOptions options = options_for(1, 64 * kMiB, true);
  options.sequences = 2;
  const auto engine = open_eager(options);
  ASSERT_NE(engine, nullptr);
  LlamaPassModel model(*engine, 2);
  LlamaKvMemory memory(engine->context(), 2);
  const auto copy = [&](uint32_t count) {
    const uint32_t copied = memory.copy(0, 1, count);
    engine->drafting()->note_copied(0, 1, copied);
    return copied;
  };
  const std::vector<int32_t> text = test_tokens(101);
  std::vector<PassToken> pass;
  for (uint32_t i = 0; i < 100; ++i) {
    pass.push_back({text[i], i, 0, i == 99});
  }
  ASSERT_TRUE(model.pass(pass, 100));
  const auto draft = [&](uint32_t sequence) { return engine->mtp()->draft(sequence, text, 6).value(); };
  const std::vector<int32_t> whole = draft(0);
  EXPECT_EQ(whole.size(), 6U);
  EXPECT_EQ(copy(100), 100U);
  EXPECT_EQ(draft(1), whole);
  // A shorter beginning: the layers lack the state before what follows, but what follows is seen.
  memory.cut(1, 0);
  EXPECT_EQ(copy(60), 60U);
  EXPECT_TRUE(draft(1).empty()) << "40 tokens are not there yet";
  for (PassToken& token : pass) {
    token.sequence = 1;
  }
  pass.erase(pass.begin(), pass.begin() + 60);
  ASSERT_TRUE(model.pass(pass, 40));
  EXPECT_EQ(draft(1).size(), 6U);
  EXPECT_EQ(draft(0), whole);
}

// What is not used is neither planned for nor loaded, and the model is the same one without it.
TEST(Mtp, WhenOffTheLayersTakeNoMemory) {
  EngineOptions options = options_for(1, 24 * kMiB, false);
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  const Said without = say(options, overrides);
  options.draft.mtp = true;
  const Said with = say(options, overrides);
  const auto weights = [](const Said& said) { return said.plan.ledger.front(); };
  EXPECT_EQ(weights(without).purpose, Purpose::kResidentWeights);
  // The second holds the attention, the shared expert and the projection of one layer more.
  EXPECT_GT(weights(with).bytes, weights(without).bytes + 500 * kKiB);
  EXPECT_THAT(without.plan.ledger[1].note, HasSubstr(fmt::format("of {})", kLayers * 32)));
  EXPECT_THAT(with.plan.ledger[1].note, HasSubstr(fmt::format("of {})", (kLayers + 1) * 32)));
  EXPECT_THAT(without.plan.sentence, Not(HasSubstr("MTP")));
  EXPECT_LT(without.stats.load_bytes, with.stats.load_bytes);

  auto plain = PlainLlama::open({options.model, 256, 1, false});
  ASSERT_TRUE(plain) << plain.error().message;
  std::vector<int32_t> tokens = (*plain)->tokenize(kPrompt);
  for (size_t i = 0; i < 20; ++i) {
    const auto next = (*plain)->evaluate(tokens);
    ASSERT_TRUE(next);
    EXPECT_EQ(*next, without.tokens[i]) << i;
    tokens = {*next};
  }
}

// llama.cpp's own loader reads most of this architecture's MTP layers whether they are wanted or not.
TEST(Mtp, WhatIsLoadedAllTheSameIsInThePlan) {
  const Said resident = say(options_for(1, 64 * kMiB, false));
  EXPECT_EQ(resident.plan.mode(), Mode::kResident);
  EXPECT_EQ(resident.plan.ledger[1].purpose, Purpose::kUnusedWeights);
  EXPECT_GT(resident.plan.ledger[1].bytes, kMiB);
  EXPECT_LE(ledger_sum(resident.plan), 64 * kMiB);
  const auto plan = plan_model(options_for(1, 64 * kMiB, false), nullptr);
  ASSERT_TRUE(plan);
  const bool listed = std::any_of(plan->tensors.begin(), plan->tensors.end(), [](const PlacedTensor& tensor) {
    return tensor.layer == kLayers && tensor.way == Way::kUnused;
  });
  EXPECT_TRUE(listed);
}

TEST(Mtp, ACancelledAnswerLeavesNothingBehind) {
  const Said plain = say(options_for(1, 64 * kMiB, false));
  const auto engine = open_eager(options_for(1, 24 * kMiB, true));
  ASSERT_NE(engine, nullptr);
  const auto session = engine->new_session();
  GenerateOptions options = greedy(50);
  size_t pieces = 0;
  options.on_text = [&](std::string_view) { return ++pieces < 7; };
  ASSERT_EQ((*session)->complete(kPrompt, options)->stop, StopReason::kCancelled);
  bool first = true;
  GenerateOptions early = greedy(50);
  early.keep_going = [&] { return std::exchange(first, false); };
  ASSERT_EQ((*session)->complete("Another", early)->stop, StopReason::kCancelled);
  const auto answer = (*session)->complete(kPrompt, greedy(50));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->tokens, std::vector<int32_t>(plain.tokens.begin(), plain.tokens.begin() + 50));
}

TEST(Mtp, DraftsEndWithTheContext) {
  EngineOptions options = options_for(1, 64 * kMiB, false);
  options.context = 64;
  std::vector<std::vector<int32_t>> said;
  for (const bool drafts : {false, true}) {
    options.draft.mtp = drafts;
    const auto engine = open_eager(options);
    ASSERT_NE(engine, nullptr);
    const auto session = engine->new_session();
    const auto answer = (*session)->complete(kPrompt, greedy(-1));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->stop, StopReason::kContextFull);
    said.push_back(answer->tokens);
  }
  EXPECT_EQ(said[0], said[1]);
}

// A prompt of more tokens than wait for the MTP layers, in passes smaller than it.
TEST(Mtp, ALongPromptIsFollowedPassByPass) {
  std::string prompt;
  for (int i = 0; i < 12; ++i) {
    prompt += kPrompt + ". ";
  }
  std::vector<std::vector<int32_t>> said;
  for (const bool drafts : {false, true}) {
    EngineOptions options = options_for(1, 64 * kMiB, drafts);
    options.context = 512;
    options.ubatch = 128;
    PlanOverrides overrides;
    overrides.mode = Mode::kExpertStreaming;
    const auto engine = open_eager(options, overrides);
    ASSERT_NE(engine, nullptr);
    const auto session = engine->new_session();
    ASSERT_GT((*session)->tokenize(prompt, true, false).size(), 200U);
    const auto answer = (*session)->complete(prompt, greedy(40));
    ASSERT_TRUE(answer) << answer.error().message;
    said.push_back(answer->tokens);
    EXPECT_EQ(engine->stats().accepted_draft_tokens > 10, drafts);
  }
  EXPECT_EQ(said[0], said[1]);
}

TEST(Mtp, AServerSaysTheSameWithDrafts) {
  Generator::Options options;
  options.engine = options_for(1, 64 * kMiB, false);
  options.parallel = 2;
  // The second begins as the first, whose beginning it takes over.
  const std::vector<AnswerRequest> requests = {continuing(kPrompt, 50), continuing(kPrompt + " and met", 50),
                                               continuing("It was a cold night", 50)};
  std::vector<std::vector<int32_t>> said;
  for (const bool drafts : {false, true}) {
    options.engine.draft.mtp = drafts;
    const auto generator = open(options);
    ASSERT_NE(generator, nullptr);
    for (const AnswerRequest& request : requests) {
      const Heard heard = ask(*generator, request);
      EXPECT_EQ(heard.end.error, std::nullopt);
      said.push_back(heard.end.tokens);
    }
    EXPECT_EQ(generator->stats().engine.drafted_tokens > 0, drafts);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(said[i], said[i + requests.size()]) << i;
  }
}

TEST(Mtp, AnswersTogetherAreEachAsLongAsWanted) {
  Generator::Options options;
  options.engine = options_for(1, 24 * kMiB, true);
  options.engine.context = 128;
  options.parallel = 3;
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  std::vector<std::shared_ptr<HearingSink>> sinks;
  for (size_t i = 0; i < 6; ++i) {
    sinks.push_back(submit(*generator, continuing(kBeginnings[i % kBeginnings.size()], 40)));
  }
  for (const auto& sink : sinks) {
    const Heard heard = sink->wait();
    EXPECT_EQ(heard.end.error, std::nullopt);
    EXPECT_EQ(heard.end.answer_tokens, 40U);
  }
  EXPECT_GT(generator->stats().engine.drafted_tokens, 0U);
}

TEST(Mtp, ModelsThatCannotDraftAreRefused) {
  EngineOptions options = options_for(1, 64 * kMiB, true);
  options.model = kModels / "hypura-stories-moe.gguf";
  const auto refused = Engine::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("has no layers"), HasSubstr("--draft-mtp")));

  Model model = *open_model(model_with(3));
  EXPECT_EQ(model.mtp_layers, 3);
  EXPECT_TRUE(check_mtp(model));
  EXPECT_FALSE(check_mtp(used_part(model, false)));
  for (const auto& [architecture, reason] :
       {std::pair("exaone-moe", "does not support"), std::pair("qwen35moe", "rolled back"),
        std::pair("glm4moe", "at most 1")}) {
    model.architecture = architecture;
    EXPECT_THAT(check_mtp(model).error().message, HasSubstr(reason));
  }
  model.architecture = "hy_v3";
  std::erase_if(model.tensors, [&](const TensorInfo& tensor) { return tensor.layer == model.layers - 1; });
  EXPECT_THAT(check_mtp(model).error().message, HasSubstr("is not in the file"));
}

TEST(Mtp, OnlyExpertsOfTheLayersAreStreamed) {
  const Model whole = *open_model(model_with(1));
  for (const bool used : {false, true}) {
    const Model model = used_part(whole, used);
    EXPECT_EQ(model.tensors.size() + model.unused.size(), whole.tensors.size());
    EXPECT_EQ(model.unused.empty(), used);
    for (const auto& [experts, dense] : {std::pair(true, false), std::pair(true, true)}) {
      const StreamLayout layout = lay_out(model, experts, dense);
      EXPECT_EQ(layout.expert_layers.size(), used ? kLayers + 1 : kLayers);
      EXPECT_EQ(layout.resident_bytes + layout.expert_bytes + layout.dense_bytes, model.bytes);
      const std::regex pattern(layout.pattern);
      for (const TensorInfo& tensor : whole.tensors) {
        const TensorInfo* of_model = model.find(tensor.name);
        EXPECT_EQ(std::regex_search(tensor.name, pattern), layout.streams(*of_model)) << tensor.name;
        EXPECT_FALSE(tensor.layer == kLayers && tensor.role != TensorRole::kRoutedExpert && layout.streams(*of_model));
      }
    }
  }
}

}  // namespace
}  // namespace hypura
