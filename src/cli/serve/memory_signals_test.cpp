#include "cli/serve/memory_signals.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(MemorySignals, AskForLessAndTakeItBack) {
  const MemorySignals signals;
  EXPECT_FALSE(MemorySignals::take());
  ::raise(SIGUSR1);
  EXPECT_TRUE(std::holds_alternative<MemoryLeast>(MemorySignals::take().value()));
  EXPECT_FALSE(MemorySignals::take()) << "once";
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  EXPECT_TRUE(std::holds_alternative<MemoryAuto>(MemorySignals::take().value())) << "the last one counts";
}

}  // namespace
}  // namespace hypura
