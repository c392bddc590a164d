#include "plan/context_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "history/run_history.h"
#include "hypura/generator.h"
#include "llama/llama_runtime.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

// Headers of a model of so many bytes, without the bytes.
class ContextChoiceTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(init_llama()); }

  void use_model(const char* arch, uint64_t size, int64_t trained) {
    ModelSpec spec;
    spec.arch = arch;
    spec.size = size;
    spec.context = trained;
    spec.sparse = true;
    spec.output = folder_.path() / (std::string(arch) + ".gguf");
    const auto path = make_model(spec);
    ASSERT_TRUE(path) << path.error().message;
    auto model = open_model(*path);
    ASSERT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
  }

  // As `hypura serve` asks.
  ContextChoice choose(uint64_t budget, uint32_t sequences = 4) {
    options_.context = 0;
    options_.threads = 1;
    options_.sequences = sequences;
    const RunHistory history = load_history(model_, nullptr);
    const OpenRequest request = make_request(options_, model_, {budget, ""}, history);
    EXPECT_THAT(request.context_remark, HasSubstr(std::to_string(request.context)));
    const std::string why = request.context_remark.substr(request.context_remark.find(": ") + 1);
    return {request.context, request.cells(), why};
  }

  double token_seconds(uint64_t budget, uint32_t context, uint32_t pool) {
    EngineOptions options = options_;
    options.context = context;
    options.sequences = 4;
    const RunHistory history = load_history(model_, nullptr);
    OpenRequest request = make_request(options, model_, {budget, ""}, history);
    request.pool = pool;
    const auto problem = placement_problem(request);
    const auto solution = problem ? place(*problem) : propagate(problem.error());
    return solution ? pass_cost(*problem, *solution, 1).seconds : 1e9;
  }

  TempDir folder_;
  Model model_;
  EngineOptions options_;
};

TEST_F(ContextChoiceTest, WithMuchMemoryItIsWhatTheModelWasTrainedFor) {
  options_.context_share = 1;
  for (const int64_t trained : {1000, 4096, 32768}) {
    use_model("dense", 2 * kGiB, trained);
    const ContextChoice choice = choose(200 * kGiB);
    EXPECT_EQ(choice.context, trained);
    EXPECT_EQ(choice.pool, 4 * trained);
  }
  use_model("dense", 2 * kGiB, 1 << 20);
  const ContextChoice much = choose(200 * kGiB);
  EXPECT_GT(much.context, kGoodContext);
  EXPECT_THAT(much.why, HasSubstr("share of the budget"));
}

TEST_F(ContextChoiceTest, MoreThanThePlainOneCostsNextToNothing) {
  options_.context_share = 1;
  for (const char* arch : {"dense", "qwen3moe", "gpt-oss"}) {
    use_model(arch, 8 * kGiB, 131072);
    for (const uint64_t budget : {2 * kGiB, 4 * kGiB, 7 * kGiB, 10 * kGiB, 24 * kGiB}) {
      const ContextChoice choice = choose(budget);
      EXPECT_GE(choice.context, kPlainContext) << arch << " in " << format_bytes(budget);
      const double plain = token_seconds(budget, kPlainContext, 4 * kPlainContext);  // for all of them
      EXPECT_LE(token_seconds(budget, choice.context, choice.pool), plain * 1.03)
          << arch << " in " << format_bytes(budget) << ": " << choice.context << " of " << choice.pool;
    }
  }
}

// What a worker holds is not read here however little memory the context leaves.
TEST_F(ContextChoiceTest, WorkersAreReckonedWith) {
  options_.context_share = 1;
  options_.workers = {"127.0.0.1:52525"};
  use_model("qwen3moe", 8 * kGiB, 131072);
  const RunHistory history = load_history(model_, nullptr);
  const auto choose_with = [&](uint64_t budget, bool found, double round_trip) {
    OpenRequest request = begin_request(options_, model_, {budget, ""}, history, {}, {});
    if (found) {
      WorkerVerdict verdict;
      verdict.slots = static_cast<uint32_t>(model_.layers * model_.experts);
      verdict.most_pairs = kMostPairs;
      request.workers.emplace_back().found = {"box", verdict, {round_trip, round_trip, 1e9, 1e9}, ""};
    }
    choose_contexts(request);
    return request.context;
  };
  options_.context = 0;
  options_.threads = 1;
  uint64_t more = 0;
  for (const uint64_t budget : {3 * kGiB, 4 * kGiB, 5 * kGiB, 6 * kGiB}) {
    const uint32_t alone = choose_with(budget, false, 0);
    const uint32_t with = choose_with(budget, true, 1e-4);
    EXPECT_GE(with, alone) << format_bytes(budget);
    more += with > alone ? 1 : 0;
    EXPECT_LE(choose_with(budget, true, 1), with) << "one that does not pay";
  }
  EXPECT_GT(more, 0U);
}

TEST_F(ContextChoiceTest, AnswersShareWhatTheBudgetAffords) {
  options_.context_share = 1;
  use_model("dense", 4 * kGiB, 131072);
  bool shared = false;
  bool for_idle_ones = false;
  for (uint64_t budget = 48 * kGiB; budget > 6 * kGiB; budget -= budget / 12) {
    const ContextChoice choice = choose(budget);
    EXPECT_GE(choice.pool, choice.context);
    EXPECT_LE(choice.pool, 4 * choice.context);
    EXPECT_GE(choice.pool, 4 * kPlainContext);
    shared = shared || (choice.context >= kGoodContext && choice.pool == 2 * choice.context);
    for_idle_ones = for_idle_ones || choice.pool == choice.context + choice.context / 8;
  }
  EXPECT_TRUE(shared) << "a long context for each is worth more than cells for all of them";
  EXPECT_TRUE(for_idle_ones);
  options_.context = 8192;
  const RunHistory history = load_history(model_, nullptr);
  const OpenRequest given = make_request(options_, model_, {8 * kGiB, ""}, history);
  EXPECT_EQ(given.context, 8192U);
  EXPECT_EQ(given.cells() < 4U * 8192, !given.context_remark.empty()) << given.context_remark;
}

TEST_F(ContextChoiceTest, InLittleMemoryItIsWhatFits) {
  use_model("dense", 2 * kGiB, 131072);
  uint64_t budget = 2 * kGiB;
  ContextChoice choice = choose(budget);
  while (choice.context >= kPlainContext && budget > kMiB) {
    budget -= budget / 16;
    choice = choose(budget);
  }
  EXPECT_LT(choice.context, kPlainContext);
  EXPECT_LT(token_seconds(budget, choice.context, choice.pool), 1e9);
  EXPECT_EQ(choose(kMiB).context, kLeastContext) << "which is then told to be too much";
}

TEST_F(ContextChoiceTest, ASmallShareIsNotExceeded) {
  use_model("dense", 2 * kGiB, 131072);
  const ContextChoice choice = choose(16 * kGiB, 1);
  EXPECT_GE(choice.context, kPlainContext);
  options_.context_share = 1;
  EXPECT_GE(choose(16 * kGiB, 1).context, choice.context);
}

TEST(ContextOfGenerator, IsChosenAndToldWhereNobodySaysHowMuch) {
  Generator::Options options;
  options.engine.model = kModels / "hypura-stories-moe.gguf";
  options.engine.memory = 48 * kMiB;
  options.engine.context = 0;
  options.engine.threads = 1;
  options.engine.run_history = false;
  options.engine.context_share = 1;
  const auto generator = Generator::open(options);
  ASSERT_TRUE(generator) << generator.error().message;
  EXPECT_EQ((*generator)->context_size(), 1024U);
  EXPECT_EQ((*generator)->plan().context_sentence,
            "1024 tokens of context for each of 4 answers, all that the model was trained for");
  EXPECT_TRUE((*generator)->plan().warnings.empty() ||
              (*generator)->plan().warnings[0].find("lowered") == std::string::npos);
  EXPECT_EQ((*generator)->stats().parallel, 4U);
}

}  // namespace
}  // namespace hypura
