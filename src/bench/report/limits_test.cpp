#include "bench/report/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Capabilities all_capabilities() {
  Capabilities capabilities;
  capabilities.cgroups = capabilities.drop_caches = capabilities.drop_file_cache = capabilities.readahead = true;
  return capabilities;
}

Capabilities no_capabilities() {
  Capabilities capabilities;
  capabilities.no_cgroups = "no cgroups here";
  capabilities.no_drop_file_cache = "the file is not this user's";
  capabilities.no_readahead = "no block device";
  return capabilities;
}

BenchOptions asked(bool baseline, std::optional<uint64_t> memory, bool force = false) {
  BenchOptions options;
  options.baseline = baseline;
  options.memory = memory;
  options.force = force;
  return options;
}

TEST(BenchLimits, ABudgetIsHeldWithItsMargin) {
  const auto limits = choose_limits(asked(true, 2 * kGiB), all_capabilities(), 6 * kGiB, 20 * kGiB);
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cgroup, 2 * kGiB + 2 * kGiB / 20);
  EXPECT_FALSE(limits->repack);
  EXPECT_THAT(limits->sentence, AllOf(HasSubstr("2.1 GiB"), Not(HasSubstr("fits"))));
}

TEST(BenchLimits, ASmallModelFitsIntoTheMargin) {
  const auto limits = choose_limits(asked(true, 24 * kMiB), all_capabilities(), 50 * kMiB, 20 * kGiB);
  EXPECT_EQ(limits->cgroup, 88 * kMiB);
  EXPECT_THAT(limits->sentence, HasSubstr("the whole model fits into that"));
}

TEST(BenchLimits, NoCgroupIsLargerThanWhatIsAllowed) {
  EXPECT_EQ(choose_limits(asked(true, 30 * kGiB), all_capabilities(), 60 * kGiB, 20 * kGiB)->cgroup, 20 * kGiB);
}

TEST(BenchLimits, WithoutABudgetAModelThatFitsHasNoLimit) {
  const auto limits = choose_limits(asked(true, std::nullopt), all_capabilities(), 6 * kGiB, 20 * kGiB);
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cgroup, 0);
  EXPECT_TRUE(limits->repack);
}

TEST(BenchLimits, WithoutABudgetAModelThatFillsTheMachineIsHeldToACgroup) {
  const auto limits = choose_limits(asked(true, std::nullopt), all_capabilities(), 20 * kGiB, 20 * kGiB);
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cgroup, 19 * kGiB);
  EXPECT_FALSE(limits->repack);
  EXPECT_EQ(choose_limits(asked(false, std::nullopt), all_capabilities(), 20 * kGiB, 20 * kGiB)->cgroup, 0);
}

TEST(BenchLimits, ABaselineThatCouldExhaustTheMachineIsRefused) {
  for (const auto memory : {std::optional<uint64_t>(), std::optional<uint64_t>(2 * kGiB)}) {
    const auto limits = choose_limits(asked(true, memory), no_capabilities(), 30 * kGiB, 20 * kGiB);
    ASSERT_FALSE(limits);
    EXPECT_EQ(limits.error().code, ErrorCode::kUsage);
    EXPECT_THAT(limits.error().message, AllOf(HasSubstr("30.0 GiB"), HasSubstr("20.0 GiB"),
                                              HasSubstr("no cgroups here"), HasSubstr("--force")));
  }
  EXPECT_TRUE(choose_limits(asked(true, std::nullopt, true), no_capabilities(), 30 * kGiB, 20 * kGiB));
  EXPECT_FALSE(choose_limits(asked(true, std::nullopt, true), no_capabilities(), 30 * kGiB, 20 * kGiB)->repack);
  EXPECT_TRUE(choose_limits(asked(false, std::nullopt), no_capabilities(), 30 * kGiB, 20 * kGiB));
  EXPECT_TRUE(choose_limits(asked(true, 2 * kGiB), no_capabilities(), 6 * kGiB, 20 * kGiB));
}

TEST(Uncontrolled, IsNothingWhereEverythingIs) {
  const auto options = asked(true, 2 * kGiB);
  const auto limits = choose_limits(options, all_capabilities(), 6 * kGiB, 20 * kGiB);
  EXPECT_THAT(uncontrolled(options, all_capabilities(), *limits), IsEmpty());
}

TEST(Uncontrolled, NamesEachThingWithItsReason) {
  const auto options = asked(true, 2 * kGiB);
  const auto limits = choose_limits(options, no_capabilities(), 6 * kGiB, 20 * kGiB);
  EXPECT_THAT(uncontrolled(options, no_capabilities(), *limits),
              ElementsAre(AllOf(HasSubstr("no cgroups here"), HasSubstr("not for 2.0 GiB")),
                          AllOf(HasSubstr("not this user's"), HasSubstr("plain llama.cpp")),
                          AllOf(HasSubstr("no block device"), HasSubstr("readahead"))));
}

TEST(Uncontrolled, LeavesOutWhatIsAboutABaselineThatDidNotRun) {
  const auto options = asked(false, 2 * kGiB);
  const auto limits = choose_limits(options, no_capabilities(), 6 * kGiB, 20 * kGiB);
  EXPECT_THAT(uncontrolled(options, no_capabilities(), *limits),
              ElementsAre(HasSubstr("nothing enforced it"), HasSubstr("loading may look")));
}

}  // namespace
}  // namespace hypura
