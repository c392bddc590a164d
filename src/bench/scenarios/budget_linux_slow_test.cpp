// The budget holds: in a cgroup that allows the budget and the stated margin, a run finishes, is not killed, and its
// peak, page cache included, stays under; loading too.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "bench/isolation/memory_cgroup.h"
#include "bench/isolation/process.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura::bench {
namespace {

class BudgetHolds : public testing::TestWithParam<std::string> {};

TEST_P(BudgetHolds, AtAQuarterAThirdAndHalf) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = GetParam();
  spec.size = 900 * kMiB;
  spec.skew = spec.arch == "dense" ? 0 : 1;
  spec.output = folder.path() / "model.gguf";
  const auto model = make_model(spec);
  ASSERT_TRUE(model) << model.error().message;
  const uint64_t bytes = std::filesystem::file_size(*model);
  for (uint64_t percent : {25U, 35U, 60U}) {
    const uint64_t budget = bytes * percent / 100;
    const uint64_t limit = budget + std::max(budget / 20, 64 * kMiB);
    auto cgroup = MemoryCgroup::create(fmt::format("hypura-budget-test-{}-{}", getpid(), percent), limit);
    if (!cgroup) {
      GTEST_SKIP() << cgroup.error().message;
    }
    ProcessRequest request;
    request.program = std::filesystem::path(HYPURA_BIN_DIR) / "hypura";
    request.arguments = {"hypura",        "run",
                         model->string(), "--raw",
                         "--prompt",      "Once upon a time there was a fox",
                         "--temp",        "0",
                         "--max-tokens",  "8",
                         "--context",     "512",
                         "--memory",      fmt::format("{}", budget),
                         "--threads",     "1"};
    request.entrance = cgroup->entrance();
    request.timeout_seconds = 120;
    const auto outcome = run_process(request);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->exit_status, 0) << percent << " %";
    EXPECT_EQ(outcome->signal, 0) << percent << " %";
    EXPECT_FALSE(cgroup->out_of_memory()) << percent << " %";
    EXPECT_LT(cgroup->peak(), limit) << percent << " %";
    EXPECT_GT(cgroup->peak(), budget * 8 / 10) << percent << " %: the budget was not used";
    EXPECT_FALSE(outcome->output.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BudgetHolds, testing::Values("qwen3moe", "dense"),
                         [](const auto& it) { return std::string(it.param); });

}  // namespace
}  // namespace hypura::bench
