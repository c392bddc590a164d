#include "cli/serve/stop_signals.h"

#include <gtest/gtest.h>

#include "cli/program.h"

namespace hypura {
namespace {

TEST(StopSignals, TheFirstEndsTheWait) {
  for (const int signal : {SIGINT, SIGTERM}) {
    StopSignals signals;
    std::raise(signal);
    signals.wait();
  }
}

TEST(StopSignalsDeathTest, TheSecondEndsTheProgram) {
  EXPECT_EXIT(
      {
        const StopSignals signals;
        std::raise(SIGINT);
        std::raise(SIGTERM);
      },
      testing::ExitedWithCode(kExitInterrupted), "");
}

TEST(StopSignalsDeathTest, AfterwardsASignalDoesWhatItDid) {
  EXPECT_EXIT(
      {
        { const StopSignals signals; }
        std::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace hypura
