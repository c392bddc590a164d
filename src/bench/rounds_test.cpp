#include "bench/rounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fail.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

// A program that answers as a measuring process does: 4 tokens/s, 1 token/s for a ubatch of 7, nothing for "broken".
class RoundsTest : public testing::Test {
 protected:
  RoundsTest() {
    RunResult fast;
    fast.decode = {4, 1.0, 400};
    RunResult slow;
    slow.decode = {4, 4.0, 400};
    folder_.write("program", "#!/bin/sh\ncase \"$2\" in *broken*) exit 3;; *'\"ubatch\":7'*) echo '" +
                                 to_json_line(slow) + "';; *) echo '" + to_json_line(fast) + "';; esac\n");
    std::filesystem::permissions(folder_.path() / "program", std::filesystem::perms::owner_all);
    folder_.write("model", "weights");
    options_.program = folder_.path() / "program";
    options_.files = {folder_.path() / "model"};
    options_.probe_seconds = 0;
    options_.repeat = 2;
    options_.tell = [this](uint32_t round, const std::string& text) {
      told_.push_back(std::to_string(round) + " " + text.substr(0, text.find(':')));
    };
  }

  static Arm arm(const std::string& title, const std::string& engine, uint32_t ubatch = 0) {
    RunSpec spec;
    spec.engine = engine;
    spec.ubatch = ubatch;
    return {title, spec};
  }

  TempDir folder_;
  RoundsOptions options_;
  std::vector<std::string> told_;
};

TEST_F(RoundsTest, ArmsTakeTurnsInEachRound) {
  const auto rounds = run_rounds(options_, {arm("ours", "hypura"), arm("theirs", "plain")});
  ASSERT_TRUE(rounds) << rounds.error().message;
  EXPECT_THAT(told_, ElementsAre("0 ours", "0 theirs", "1 ours", "1 theirs"));
  ASSERT_EQ(rounds->arms[0].runs.size(), 2);
  EXPECT_EQ(rounds->arms[0].runs[1].decode.tokens_per_second(), 4);
  EXPECT_TRUE(rounds->disk.empty());
}

TEST_F(RoundsTest, EachRoundHasATextOfItsOwn) {
  options_.repeat = 3;
  std::vector<uint32_t> texts;
  options_.check = [&](const Arm& its, const RunResult&) {
    texts.push_back(its.spec.text);
    return Status();
  };
  ASSERT_TRUE(run_rounds(options_, {arm("ours", "hypura"), arm("theirs", "plain")}));
  EXPECT_THAT(texts, ElementsAre(0, 0, 1, 1, 2, 2));
}

TEST_F(RoundsTest, APlainArmThatIsFarSlowerIsNotRepeatedWhereThatIsAskedFor) {
  for (const auto& [factor, runs] : {std::pair<double, size_t>{0, 2}, {5, 2}, {3.9, 1}}) {
    options_.far_slower = factor;
    const auto rounds = run_rounds(options_, {arm("ours", "hypura"), arm("slow", "plain", 7)});
    ASSERT_TRUE(rounds) << rounds.error().message;
    EXPECT_EQ(rounds->arms[0].runs.size(), 2);
    EXPECT_EQ(rounds->arms[1].runs.size(), runs) << factor;
  }
}

TEST_F(RoundsTest, APlainArmThatCannotBeTheBestIsNotRepeated) {
  const auto rounds = run_rounds(options_, {arm("slow", "plain", 7), arm("fast", "plain"), arm("ours", "hypura", 7)});
  ASSERT_TRUE(rounds) << rounds.error().message;
  EXPECT_THAT(told_, ElementsAre("0 slow", "0 fast", "0 ours", "1 fast", "1 ours"));
}

TEST_F(RoundsTest, APlainArmOfAnotherSplitIsRepeated) {
  Arm split = arm("slow", "plain", 7);
  split.spec.gpu_layers = 3;
  const auto rounds = run_rounds(options_, {split, arm("fast", "plain")});
  ASSERT_TRUE(rounds) << rounds.error().message;
  EXPECT_THAT(told_, ElementsAre("0 slow", "0 fast", "1 slow", "1 fast"));
}

TEST_F(RoundsTest, ARunThatFailsIsAResult) {
  const auto rounds = run_rounds(options_, {arm("ours", "broken")});
  ASSERT_TRUE(rounds) << rounds.error().message;
  EXPECT_THAT(rounds->arms[0].runs[0].error, HasSubstr("exit status 3"));
  EXPECT_TRUE(good_runs(rounds->arms[0]).empty());
}

TEST_F(RoundsTest, TheCheckMayEndThem) {
  options_.check = [](const Arm&, const RunResult& run) {
    return run.error.empty() ? Status{} : fail(ErrorCode::kBadModel, "enough");
  };
  const auto rounds = run_rounds(options_, {arm("ours", "broken"), arm("theirs", "plain")});
  ASSERT_FALSE(rounds);
  EXPECT_EQ(rounds.error().message, "enough");
  EXPECT_TRUE(told_.empty());
}

TEST(Limit, AddsFivePerCentOrSixtyFourMegabytes) {
  EXPECT_EQ(limit_of(100 * kMiB), 164 * kMiB);
  EXPECT_EQ(limit_of(20 * kGiB), 21 * kGiB);
  EXPECT_EQ(limit_of(0), 0);
}

TEST(PlainArms, AreTwoWhereTheReadaheadCanBeSet) {
  const auto alone = plain_arms({}, nullptr);
  ASSERT_EQ(alone.size(), 1);
  EXPECT_EQ(alone[0].title, "plain");
  EXPECT_TRUE(alone[0].plain());
  EXPECT_FALSE(alone[0].readahead_kib);
}

TEST(PlainArms, AreThoseOfTheGpuWhereOneIsUsed) {
  RunSpec ours;
  ours.gpu = "auto";
  ours.prompt_tokens = 700;
  const PlainSplits splits = {"CUDA0", true, {kGiB}, {{"-ngl 3", 3, 0}, {"--cpu-moe", -1, 24}}};
  const auto arms = plain_arms(ours, nullptr, splits);
  ASSERT_EQ(arms.size(), 2);
  EXPECT_EQ(arms[0].title, "plain, -ngl 3");
  EXPECT_EQ(arms[0].spec.gpu_layers, 3);
  EXPECT_EQ(arms[1].title, "plain, --cpu-moe");
  EXPECT_EQ(arms[1].spec.gpu, "CUDA0");
  EXPECT_EQ(arms[1].spec.cpu_expert_layers, 24U);
  EXPECT_EQ(arms[1].spec.ubatch, 700U);
  const auto none_fits = plain_arms(ours, nullptr, {"CUDA0", true, {1}, {}});
  ASSERT_EQ(none_fits.size(), 1);
  EXPECT_EQ(none_fits[0].title, "plain");
  EXPECT_EQ(none_fits[0].spec.gpu, "none");
}

TEST(PlainArms, MakeNoDrafts) {
  RunSpec spec;
  spec.draft = "draft.gguf";
  spec.draft_ngrams = true;
  EXPECT_FALSE(plain_arms(spec, nullptr).front().spec.drafts());
}

TEST(Drafts, AreThoseOfTheGoodRuns) {
  RunResult run;
  run.drafted_tokens = 44;
  run.accepted_draft_tokens = 25;
  RunResult failed = run;
  failed.error = "killed";
  const DraftCount count = drafts_of({{}, {run, failed, run}});
  EXPECT_EQ(to_text(count), "50 of 88");
  EXPECT_EQ(drafts_of({{}, {failed}}).drafted, 0);
}

TEST(Summary, SaysWhatARunDidOrWhyItFailed) {
  RunResult run;
  run.decode = {4, 1.0, 4'000'000};
  EXPECT_THAT(summary_of(run), EndsWith("decode 4 tok/s, 1.0 MB/token"));
  run.drafted_tokens = 88;
  run.accepted_draft_tokens = 50;
  EXPECT_THAT(summary_of(run), EndsWith("1.0 MB/token, drafts accepted: 50 of 88"));
  run.error = "killed";
  EXPECT_EQ(summary_of(run), "failed: killed");
}

}  // namespace
}  // namespace hypura
