#include "machine/speed/ram_bandwidth.h"

#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

TEST(RamBandwidth, OneRateForEachNumberOfThreads) {
  double last = 0;
  const auto rates = measure_ram(
      {.threads = 3, .bytes = 8 * kMiB + 5, .seconds = 0.002, .progress = [&](double share) { last = share; }});
  ASSERT_TRUE(rates) << rates.error().message;
  ASSERT_EQ(rates->size(), 3U);
  for (const double rate : *rates) {
    EXPECT_GT(rate, 0);
  }
  EXPECT_EQ(last, 1);
}

TEST(RamBandwidth, MemoryThatCannotBeHadIsAnError) {
  const auto rates = measure_ram({.threads = 1, .bytes = 1ULL << 60, .seconds = 0.001});
  ASSERT_FALSE(rates);
  EXPECT_EQ(rates.error().code, ErrorCode::kBudget);
}

}  // namespace
}  // namespace hypura
