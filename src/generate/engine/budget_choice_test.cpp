#include "plan/budget_choice.h"

#include <gtest/gtest.h>

#include "machine/memory.h"
#include "support/units.h"

namespace hypura {
namespace {

TEST(BudgetChoice, IsWhatWasAskedForWhereTheMachineHasIt) {
  EngineOptions options;
  options.memory = kMiB;
  const auto budget = choose_budget(options);
  ASSERT_TRUE(budget);
  EXPECT_EQ(budget->bytes, kMiB);
  EXPECT_EQ(budget->remark, "");
}

TEST(BudgetChoice, IsLoweredToWhatThereIsAndSaysSo) {
  EngineOptions options;
  options.memory = 1ULL << 60;
  const auto budget = choose_budget(options);
  ASSERT_TRUE(budget);
  EXPECT_LE(budget->bytes, read_memory_limits()->total);
  EXPECT_NE(budget->remark.find("lowered from"), std::string::npos) << budget->remark;
}

TEST(BudgetChoice, SaysNothingOfADifferenceThatCannotBeSeen) {
  const auto most = choose_budget(EngineOptions{});
  ASSERT_TRUE(most);
  // The machine's free memory moves between two readings, so the last digit printed may too: try some.
  int silent = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    EngineOptions options;
    options.memory = choose_budget(EngineOptions{})->bytes + 1;
    const auto budget = choose_budget(options);
    ASSERT_TRUE(budget);
    silent += budget->remark.empty() ? 1 : 0;
    if (!budget->remark.empty()) {
      EXPECT_EQ(budget->remark.find("lowered from " + format_bytes(budget->bytes) + ":"), std::string::npos);
    }
  }
  EXPECT_GT(silent, 0);
}

}  // namespace
}  // namespace hypura
