#include "cli/bench/options_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/options/options.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(BenchOptions, TakeEveryFlag) {
  const auto parsed = parse_command_line(
      {"bench",     "m.gguf", "--baseline", "--prompt-tokens", "100",    "--tokens", "7",       "--memory",  "24M",
       "--repeat",  "5",      "--json",     "f.json",          "--plot", "p.svg",    "--force", "--context", "2048",
       "--threads", "1"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->action, CommandLine::Action::kBench);
  const BenchOptions& options = parsed->bench;
  EXPECT_EQ(options.model, "m.gguf");
  EXPECT_TRUE(options.baseline);
  EXPECT_EQ(options.prompt_tokens, 100);
  EXPECT_EQ(options.tokens, 7);
  EXPECT_EQ(options.memory, 24 * kMiB);
  EXPECT_EQ(options.repeat, 5);
  EXPECT_EQ(options.json, "f.json");
  EXPECT_EQ(options.plot, "p.svg");
  EXPECT_TRUE(options.force);
  EXPECT_EQ(bench_context(options), 2048);
  EXPECT_EQ(options.threads, 1);
}

TEST(BenchOptions, TakeDrafts) {
  const auto parsed = parse_command_line(
      {"bench", "m.gguf", "--draft", "d.gguf", "--draft-ngrams", "--draft-mtp", "--draft-tokens", "3"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->bench.draft.model, "d.gguf");
  EXPECT_TRUE(parsed->bench.draft.ngrams);
  EXPECT_TRUE(parsed->bench.draft.mtp);
  EXPECT_EQ(parsed->bench.draft.tokens, 3U);
}

TEST(BenchOptions, HaveDefaults) {
  const auto parsed = parse_command_line({"bench", "--memory", "auto"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  const BenchOptions& options = parsed->bench;
  EXPECT_TRUE(options.model.empty());
  EXPECT_FALSE(options.baseline);
  EXPECT_EQ(options.prompt_tokens, 512);
  EXPECT_EQ(options.tokens, 64);
  EXPECT_EQ(options.repeat, 3);
  EXPECT_FALSE(options.memory);
  EXPECT_FALSE(options.draft.any());
}

TEST(BenchOptions, TheContextHoldsPromptAndAnswer) {
  BenchOptions options;
  EXPECT_EQ(bench_context(options), 1024);
  options.prompt_tokens = 4096;
  EXPECT_EQ(bench_context(options), 4352);  // 4096 + 8 + 64, in steps of 256
}

TEST(BenchOptions, ReplaysATraceAtSeveralSizes) {
  const auto parsed = parse_command_line({"bench", "--replay", "run.trace", "--slots", "4", "--slots", "9"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->bench.replay, "run.trace");
  EXPECT_EQ(parsed->bench.slots, (std::vector<uint32_t>{4, 9}));
}

struct RefusedBench {
  std::vector<std::string> words;
  std::vector<std::string> says;
};

class BenchRefuses : public testing::TestWithParam<RefusedBench> {};

TEST_P(BenchRefuses, ByName) {
  const auto parsed = parse_command_line(GetParam().words);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
  for (const std::string& part : GetParam().says) {
    EXPECT_THAT(parsed.error().message, HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Values, BenchRefuses,
    testing::Values(RefusedBench{{"bench", "--repeat", "0"}, {"--repeat", "1 to 100"}},
                    RefusedBench{{"bench", "--tokens", "0"}, {"--tokens"}},
                    RefusedBench{{"bench", "--prompt-tokens", "1.5"}, {"--prompt-tokens", "whole"}},
                    RefusedBench{{"bench", "--memory", "6Q"}, {"--memory", "'6Q'"}},
                    RefusedBench{{"bench", "--plot", "p.gif"}, {"--plot", ".svg or .png"}},
                    RefusedBench{{"bench", "--context", "100"}, {"--context 100", "584"}},
                    RefusedBench{{"bench", "--force"}, {"--force", "--baseline"}},
                    RefusedBench{{"bench", "--replay", "t", "--tokens", "9"}, {"--replay", "--json"}},
                    RefusedBench{{"bench", "m.gguf", "--replay", "t"}, {"--replay", "model"}},
                    RefusedBench{{"bench", "--replay", "t", "--draft-ngrams"}, {"--replay"}},
                    RefusedBench{{"bench", "--replay", "t", "--draft-tokens", "3"}, {"--replay"}},
                    RefusedBench{{"bench", "--draft-ngrams", "--draft-tokens", "17"}, {"--draft-tokens", "1 to 16"}},
                    RefusedBench{{"bench", "--replay", "t", "--draft", "d.gguf"}, {"--replay"}},
                    RefusedBench{{"bench", "--replay", "t", "--mirror", "m"}, {"--replay"}},
                    RefusedBench{{"bench", "--replay", "t", "--gpu", "none"}, {"--replay"}},
                    RefusedBench{{"bench", "--replay", "t", "--vram", "1G"}, {"--replay"}},
                    RefusedBench{{"bench", "--draft", ""}, {"--draft", "empty"}},
                    RefusedBench{{"bench", "--slots", "9"}, {"--slots", "--replay"}},
                    RefusedBench{{"bench", "a", "b"}, {"'b'", "hypura bench --help"}}));

}  // namespace
}  // namespace hypura
