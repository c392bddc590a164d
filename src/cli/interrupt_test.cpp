#include "cli/interrupt.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

constexpr int kNeverFatal = 100;

TEST(Interrupt, OfAnswersIsCtrlCAlone) {
  const InterruptGuard guard(kNeverFatal);
  EXPECT_FALSE(guard.pressed());
  std::raise(SIGINT);
  EXPECT_TRUE(guard.pressed());
  EXPECT_EQ(InterruptGuard::exit_code(), 130);
}

TEST(Interrupt, MayBeWhateverEndsAProgram) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const InterruptGuard guard(kNeverFatal, AlsoOn::kTermination);
    EXPECT_FALSE(guard.pressed());
    std::raise(signal);
    EXPECT_TRUE(guard.pressed());
    EXPECT_EQ(InterruptGuard::exit_code(), 128 + signal);
  }
}

TEST(InterruptDeathTest, AfterwardsASignalDoesWhatItDid) {
  EXPECT_EXIT(
      {
        { const InterruptGuard guard(kNeverFatal, AlsoOn::kTermination); }
        std::raise(SIGHUP);
      },
      testing::KilledBySignal(SIGHUP), "");
}

TEST(InterruptDeathTest, TheLastPressEndsTheProgram) {
  EXPECT_EXIT(
      {
        const InterruptGuard guard(2, AlsoOn::kTermination);
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      testing::ExitedWithCode(128 + SIGTERM), "");
}

}  // namespace
}  // namespace hypura
