#include "residency/prefetch_switch.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hypura {
namespace {

// Of so many passes, the share that read ahead.
double share_on(PrefetchSwitch& it, uint32_t passes, double without, double with) {
  uint32_t on = 0;
  for (uint32_t i = 0; i < passes; ++i) {
    on += it.on() ? 1 : 0;
    it.note((it.on() ? with : without) * (i % 2 == 0 ? 0.8 : 1.2));
  }
  return static_cast<double>(on) / passes;
}

TEST(PrefetchSwitch, KeepsToWhatIsFaster) {
  PrefetchSwitch pays;
  share_on(pays, 64, 1.0, 0.9);
  EXPECT_NEAR(share_on(pays, 1280, 1.0, 0.9), 7.0 / 8, 0.02);
  PrefetchSwitch does_not;
  share_on(does_not, 64, 0.9, 1.0);
  EXPECT_NEAR(share_on(does_not, 1280, 0.9, 1.0), 1.0 / 8, 0.02);
}

TEST(PrefetchSwitch, ChangesItsMind) {
  PrefetchSwitch it;
  share_on(it, 640, 1.0, 0.8);
  share_on(it, 640, 1.0, 1.3);
  EXPECT_LT(share_on(it, 640, 1.0, 1.3), 0.2);
  EXPECT_NEAR(it.ratio(), 1.3, 0.1);
}

// Passes become faster as the cache fills, whatever is read ahead.
TEST(PrefetchSwitch, IsNotMisledByACacheThatFills) {
  for (const double with : {0.9, 1.1}) {
    PrefetchSwitch it;
    uint32_t on = 0;
    for (uint32_t i = 0; i < 640; ++i) {
      const double filling = 1 + 4 * std::exp(i / -100.0);
      on += i >= 64 && it.on() ? 1 : 0;
      it.note(filling * (it.on() ? with : 1));
    }
    EXPECT_NEAR(on / 576.0, with < 1 ? 7.0 / 8 : 1.0 / 8, 0.05) << with;
  }
}

}  // namespace
}  // namespace hypura
