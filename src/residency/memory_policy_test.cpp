#include "residency/memory_policy.h"

#include <gtest/gtest.h>

#include <vector>

namespace hypura {
namespace {

// A machine with memory that others take, and a model that follows.
class Follows : public testing::Test {
 protected:
  static constexpr MemoryBounds kBounds = {2000, 16000};

  // Looks four times a second for so long. Gives how often the size changed.
  int look_for(double seconds, uint64_t affordable, bool pressed = false) {
    int changes = 0;
    for (const double end = now_ + seconds; now_ < end; now_ += 0.25) {
      const uint64_t wanted = policy_.next({now_, affordable, pressed}, kBounds, has_);
      EXPECT_GE(wanted, kBounds.least);
      EXPECT_LE(wanted, kBounds.most);
      changes += wanted == has_ ? 0 : 1;
      has_ = wanted;
    }
    return changes;
  }

  MemoryPolicy policy_;
  double now_ = 100;
  uint64_t has_ = kBounds.most;
};

TEST_F(Follows, NothingHappensWhileThereIsEnough) {
  EXPECT_EQ(look_for(100, 16000), 0);
  EXPECT_EQ(look_for(100, 50000), 0);
  EXPECT_EQ(look_for(100, 15800), 0) << "as little as that comes and goes";
}

TEST_F(Follows, GivesBackAtTheFirstLookAndGrowsInSteps) {
  look_for(0.25, 8000);
  EXPECT_EQ(has_, 8000U);
  EXPECT_EQ(look_for(100, 8000), 0);
  look_for(0.25, 100);
  EXPECT_EQ(has_, 2000U) << "the least";
  look_for(29, 20000);
  EXPECT_EQ(has_, 2000U) << "is it over?";
  look_for(2, 20000);
  EXPECT_EQ(has_, 9000U);
  look_for(5, 20000);
  EXPECT_EQ(has_, 12500U);
  look_for(30, 20000);
  EXPECT_EQ(has_, 16000U);
}

TEST_F(Follows, GrowsOnlyToWhatIsThere) {
  look_for(1, 6000);
  look_for(300, 7000);
  EXPECT_EQ(has_, 7000U);
  EXPECT_EQ(look_for(300, 7100), 0);
}

TEST_F(Follows, StepsDownWhileSomethingHasToWait) {
  EXPECT_EQ(look_for(1, 20000, true), 1);
  EXPECT_EQ(has_, 16000U - 1750);
  EXPECT_EQ(look_for(3, 20000, true), 3);
  EXPECT_EQ(has_, 16000U - 4 * 1750);
  look_for(60, 20000, true);
  EXPECT_EQ(has_, 2000U);
  EXPECT_GT(look_for(300, 20000), 0);
  EXPECT_EQ(has_, 16000U);
}

// Whoever needs the memory each time it is taken again.
TEST_F(Follows, DoesNotFlutter) {
  const auto changes_in_an_hour = [&] {
    int changes = 0;
    for (const double end = now_ + 3600; now_ < end;) {
      const bool wanted_elsewhere = has_ > 9000;
      changes += look_for(0.25, 20000, wanted_elsewhere);
    }
    return changes;
  };
  EXPECT_LT(changes_in_an_hour(), 60);
  const int later = changes_in_an_hour();
  EXPECT_LT(later, 30);
  EXPECT_GT(later, 2) << "it never gives up";
  look_for(1500, 20000);
  look_for(1, 3000);  // long after it has grown
  look_for(31, 20000);
  EXPECT_GT(has_, 3000U) << "it is forgotten";
}

TEST_F(Follows, AModelThatCannotGiveBackStaysAsItIs) {
  EXPECT_EQ(policy_.next({1, 0, true}, {16000, 16000}, 16000), 16000U);
  EXPECT_EQ(policy_.next({50, 50000, false}, {16000, 16000}, 16000), 16000U);
}

}  // namespace
}  // namespace hypura
