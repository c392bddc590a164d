// Drafts decide when tokens are computed, never which they are.

#include "draft/drafting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/engine/eager_drafts_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "generate/scheduler/scheduler_fakes_for_test.h"
#include "make_model/make_model.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

std::vector<int32_t> drafted(Drafter& drafter, const std::vector<int32_t>& tokens, uint32_t most) {
  const auto draft = drafter.draft(0, tokens, most);
  EXPECT_TRUE(draft);
  return draft ? *draft : std::vector<int32_t>();
}

TEST(NgramDrafter, SaysWhatFollowedBefore) {
  const auto drafter = make_ngram_drafter();
  const std::vector<int32_t> text = {1, 5, 6, 7, 8, 9, 10, 11, 12, 2, 3, 5, 6};
  EXPECT_EQ(drafted(*drafter, text, 4), (std::vector<int32_t>{7, 8, 9, 10}));
  EXPECT_EQ(drafted(*drafter, text, 1), (std::vector<int32_t>{7}));
  EXPECT_EQ(drafted(*drafter, text, 0), (std::vector<int32_t>{}));
  EXPECT_EQ(drafted(*drafter, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 4), (std::vector<int32_t>{}));
  EXPECT_EQ(drafted(*drafter, {}, 4), (std::vector<int32_t>{}));
}

// Drafts what the fake model will say, and every third time something else.
class FakeDrafter final : public Drafter {
 public:
  Result<std::vector<int32_t>> draft(uint32_t /*sequence*/, std::span<const int32_t> tokens, uint32_t most) override {
    std::vector<int32_t> text(tokens.begin(), tokens.end());
    const uint32_t right = ++calls_ % 3 == 0 ? most / 2 : most;
    for (uint32_t i = 0; i < most; ++i) {
      text.push_back(FakeModel::next(text) + (i < right ? 0 : 1));
    }
    return std::vector<int32_t>(text.end() - most, text.end());
  }

 private:
  uint32_t calls_ = 0;
};

std::unique_ptr<Drafting> drafting_by(std::unique_ptr<Drafter> drafter) {
  std::vector<std::unique_ptr<Drafter>> drafters;
  drafters.push_back(std::move(drafter));
  return std::make_unique<Drafting>(std::move(drafters));
}

TEST(Drafting, AnswersTogetherAreWhatTheyAreWithout) {
  FakeModel model(3, {64, 64, 32});
  model.take(std::chrono::milliseconds(1));  // longer than the draft
  const auto drafting = drafting_by(std::make_unique<FakeDrafter>());
  DrivenScheduler driven(model, drafting.get());
  std::vector<uint64_t> ids;
  for (int32_t i = 0; i < 6; ++i) {
    Job job = fake_job({i, 2 * i, 7}, static_cast<uint32_t>(60 + i), nullptr);
    job.limit = i == 2 ? 40 : 1000;  // one fills its context
    job.shift = true;
    ids.push_back(driven.start(std::move(job)));
  }
  driven.run();
  for (int32_t i = 0; i < 6; ++i) {
    const AnswerEnd& end = driven.end(ids[static_cast<size_t>(i)]);
    std::vector<int32_t> text = {i, 2 * i, 7};
    for (int32_t n = 0; n < 60 + i && i != 2; ++n) {
      text.push_back(FakeModel::next(text));
    }
    EXPECT_TRUE(i == 2 || end.tokens == text) << i;
    EXPECT_EQ(end.answer_tokens, 60U + i);
  }
  EXPECT_TRUE(model.in_order());
  EXPECT_GT(model.accepted(), 50U);
  EXPECT_GT(model.drafted(), model.accepted());
  EXPECT_LT(model.passes().size(), 200U) << "without drafts it takes 125 passes for each three answers";
}

// What comes after the last token that is wanted would be computed in vain.
TEST(Drafting, NothingIsDraftedBeyondTheEnd) {
  FakeModel model(1, {64, 64, 32});
  const auto drafting = drafting_by(std::make_unique<FakeDrafter>());
  for (uint32_t drafted = 0; drafted <= kMostDrafted; ++drafted) {  // passes of all sizes take as long
    drafting->note_pass({1, 1, drafted, drafted, 1.0, 0});
  }
  DrivenScheduler driven(model, drafting.get());
  EXPECT_EQ(driven.run(driven.start({1, 2, 3}, 6)).answer_tokens, 6U);
  ASSERT_EQ(model.passes().size(), 2U);
  EXPECT_EQ(model.passes()[1].size(), 5U) << "the first token is the prompt's; the last needs no pass";
  EXPECT_EQ(model.accepted(), 4U);
}

// A drafter that keeps books of its own hears of a beginning that is taken over.
TEST(Drafting, DraftersHearOfCopies) {
  class Noting final : public Drafter {
   public:
    explicit Noting(std::vector<uint32_t>& heard) : heard_(heard) {}
    Result<std::vector<int32_t>> draft(uint32_t, std::span<const int32_t>, uint32_t) override { return {}; }
    void note_copied(uint32_t from, uint32_t to, uint32_t count) override { heard_ = {from, to, count}; }

   private:
    std::vector<uint32_t>& heard_;
  };
  std::vector<uint32_t> heard;
  FakeModel model(2);
  const auto drafting = drafting_by(std::make_unique<Noting>(heard));
  DrivenScheduler driven(model, drafting.get());
  driven.start({1, 2, 3, 4, 5}, 20);
  driven.pass();
  EXPECT_TRUE(heard.empty());
  driven.run(driven.start({1, 2, 3, 9}, 2));
  EXPECT_EQ(heard, (std::vector<uint32_t>{0, 1, 3}));
}

TEST(Drafting, AFailingDrafterIsNotAskedAgain) {
  class Failing final : public Drafter {
   public:
    explicit Failing(int& calls) : calls_(calls) {}
    Result<std::vector<int32_t>> draft(uint32_t, std::span<const int32_t>, uint32_t) override {
      ++calls_;
      return fail(ErrorCode::kInternal, "no draft today");
    }

   private:
    int& calls_;
  };
  int calls = 0;
  const auto drafting = drafting_by(std::make_unique<Failing>(calls));
  drafting->note_pass({1, 1, 0, 0, 1.0, 0});
  const std::vector<int32_t> text = {1, 2, 3};
  EXPECT_TRUE(drafting->draft(0, text, 4, 1, 1).tokens.empty());
  EXPECT_TRUE(drafting->draft(0, text, 4, 1, 1).tokens.empty());
  EXPECT_EQ(calls, 1);
}

EngineOptions dense(uint64_t memory) {
  EngineOptions options;
  options.model = kModels / "hypura-stories-draft.gguf";
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.resident = false;
  options.run_history = false;
  return options;
}

struct Told {
  std::vector<int32_t> tokens;
  EngineStats stats;
};

Told tell(const EngineOptions& options, const std::string& prompt, int32_t tokens,
          const PlanOverrides& overrides = {}) {
  const auto engine = open_eager(options, overrides);
  if (engine == nullptr) {
    return {};
  }
  const auto session = engine->new_session();
  const auto told = (*session)->complete(prompt, greedy(tokens));
  EXPECT_TRUE(told);
  // A second one: what the first drafted in vain has left nothing behind.
  const auto again = (*session)->complete(prompt + " and", greedy(tokens));
  EXPECT_TRUE(again);
  Told both{told->tokens, engine->stats()};
  both.tokens.insert(both.tokens.end(), again->tokens.begin(), again->tokens.end());
  return both;
}

// A dense model in Q8_0 rounds the same for one row as for several (docs/design/batching.md).
TEST(Drafting, ASessionSaysTheSameWithDrafts) {
  const std::string prompt = "Tom has a red ball. Tom has a red ball. Tom has a red ball. Tom has a red ball. Tom";
  const Told plain = tell(dense(9 * kMiB), prompt, 60);
  EngineOptions options = dense(9 * kMiB);
  options.draft.ngrams = true;
  const Told ngrams = tell(options, prompt, 60);
  EXPECT_EQ(ngrams.tokens, plain.tokens);
  EXPECT_EQ(ngrams.stats.decoded_tokens, plain.stats.decoded_tokens);
  EXPECT_GT(ngrams.stats.accepted_draft_tokens, 0U);
  EXPECT_GE(ngrams.stats.drafted_tokens, ngrams.stats.accepted_draft_tokens);
  options = dense(18 * kMiB);
  options.draft.model = options.model;  // itself: nearly always right
  PlanOverrides keeping;
  keeping.keep_draft_model = true;
  const Told by_model = tell(options, prompt, 60, keeping);
  EXPECT_EQ(by_model.tokens, plain.tokens);
  EXPECT_EQ(by_model.stats.decoded_tokens, plain.stats.decoded_tokens);
  EXPECT_GT(by_model.stats.accepted_draft_tokens, 0U);
}

TEST(Drafting, TheDraftModelComesOutOfTheBudget) {
  EngineOptions options = dense(24 * kMiB);
  options.draft.model = options.model;
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  uint64_t sum = 0;
  uint64_t draft = 0;
  for (const LedgerLine& line : (*engine)->plan().ledger) {
    sum += line.bytes;
    draft += line.purpose == Purpose::kDraftModel ? line.bytes : 0;
  }
  EXPECT_GT(draft, 5 * kMiB);
  EXPECT_LE(sum, 24 * kMiB);
  options.memory = 5 * kMiB;
  const auto refused = Engine::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBudget);
  EXPECT_THAT(refused.error().message, HasSubstr("draft model"));
}

// The stories' experts want the memory more: many tokens in a pass use many experts.
TEST(Drafting, ADraftModelThatCostsMoreThanItGivesIsLeftOut) {
  EngineOptions options = dense(30 * kMiB);
  options.draft.model = options.model;
  options.model = kModels / "hypura-stories-moe.gguf";
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  EXPECT_THAT(plan.warnings, testing::Contains(testing::AllOf(HasSubstr("hypura-stories-draft.gguf is left out"),
                                                              HasSubstr("fewer tokens/s"))));
  EXPECT_THAT(plan.sentence, testing::Not(HasSubstr("draft model")));
  for (const LedgerLine& line : plan.ledger) {
    EXPECT_NE(line.purpose, Purpose::kDraftModel);
  }
  const auto session = (*engine)->new_session();
  ASSERT_TRUE((*session)->complete("Once upon a time", greedy(20)));
  EXPECT_EQ((*engine)->stats().drafted_tokens, 0U);
}

TEST(Drafting, AnotherFamilysModelIsRefused) {
  const TempDir folder;
  ModelSpec spec;
  spec.vocab_tokens = 9000;
  spec.output = folder.path() / "other.gguf";
  ASSERT_TRUE(make_model(spec));
  EngineOptions options = dense(64 * kMiB);
  options.draft.model = spec.output;
  const auto refused = Engine::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("a different vocabulary"));
  options.draft.model = folder.path() / "missing.gguf";
  EXPECT_EQ(Engine::open(options).error().code, ErrorCode::kIo);
}

TEST(Drafting, AServerSaysTheSameWithDrafts) {
  Generator::Options options = stories(2);
  options.engine = dense(18 * kMiB);
  options.engine.context = 128;
  const AnswerRequest request = continuing(kBeginnings[0], 60);
  const auto plain = open(options);
  ASSERT_NE(plain, nullptr);
  const Heard told = ask(*plain, request);
  options.engine.draft = {options.engine.model, true};
  PlanOverrides keeping;
  keeping.keep_draft_model = true;
  const auto drafting = open(options, keeping);
  ASSERT_NE(drafting, nullptr);
  const Heard heard = ask(*drafting, request);
  EXPECT_EQ(heard.content, told.content);
  EXPECT_EQ(heard.end.tokens, told.end.tokens);
  EXPECT_GT(drafting->stats().engine.accepted_draft_tokens, 0U);
  EXPECT_LT(drafting->stats().passes, plain->stats().passes);
}

// Layers that attend to a window of 128 tokens: with texts longer than that, rejected drafts, and a prompt that goes
// back to the middle of what is held, a session and a server say what a session says without drafts.
TEST(Drafting, AModelWithWindowsSaysTheSameWithDrafts) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = "gpt-oss";
  spec.type = "Q8_0";
  spec.output = folder.path() / "windowed.gguf";
  ASSERT_TRUE(make_model(spec));
  EngineOptions options = dense(64 * kMiB);
  options.model = spec.output;
  options.context = 512;
  options.repack = false;  // repacked weights round otherwise for several rows than for one
  std::string begin;
  for (int i = 0; i < 30; ++i) {
    begin += "Tom has a red ball. ";
  }
  const std::vector<std::string> prompts = {begin + begin, begin + "The old king", begin + begin + "Tom has"};
  const auto tell_all = [&] {
    std::vector<std::vector<int32_t>> said;
    const auto engine = open_eager(options);
    EXPECT_NE(engine, nullptr);
    const auto session = engine->new_session();
    for (const std::string& prompt : prompts) {
      said.push_back((*session)->complete(prompt, greedy(60)).value().tokens);
    }
    EXPECT_EQ(engine->stats().drafted_tokens > 0, options.draft.ngrams);
    return said;
  };
  const auto plain = tell_all();
  options.draft.ngrams = true;
  EXPECT_EQ(tell_all(), plain);
  Generator::Options served = stories(1);
  served.engine = options;
  const auto generator = open(served);
  ASSERT_NE(generator, nullptr);
  for (size_t i = 0; i < prompts.size(); ++i) {
    const AnswerEnd end = ask(*generator, continuing(prompts[i], 60)).end;
    ASSERT_FALSE(end.error) << end.error->message;
    EXPECT_EQ(std::vector<int32_t>(end.tokens.begin() + end.prompt_tokens, end.tokens.end()), plain[i]) << i;
  }
}

}  // namespace
}  // namespace hypura
