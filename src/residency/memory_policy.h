// How much memory a model is to have while others want some too: less as soon as it is wanted elsewhere, more again
// when that is over. Pure policy over what a look at the machine says, a few times a second.
//
// - Less: at once down to what the machine can afford, where that is less by more than kSlack. Where something had to
//   wait for memory although the figures look well, a kStep of what can be given back, once a second at most.
// - More: after kQuiet without either, half of what is missing, and so on every kBetweenGrowths.
// - No flutter: where more memory brought the pressure back within kTooSoon, the quiet must be twice as long the next
//   time, up to kLongestQuiet.
#pragma once

#include <cstdint>

namespace hypura {

struct MemoryLook {
  double seconds = 0;       // of a clock that only goes on
  uint64_t affordable = 0;  // bytes that the model may have by what is free now, its own counted as free
  bool pressed = false;     // since the last look something had to wait for memory, or a limit was reached
};

struct MemoryBounds {
  uint64_t least = 0;  // bytes
  uint64_t most = 0;
};

// Not thread-safe.
class MemoryPolicy {
 public:
  static constexpr double kSlack = 1.0 / 64;  // of the most
  static constexpr double kStep = 1.0 / 8;    // of what can be given back
  static constexpr double kBetweenSteps = 1;  // seconds, as all that follow
  static constexpr double kQuiet = 30;
  static constexpr double kBetweenGrowths = 5;
  static constexpr double kTooSoon = 60;
  static constexpr double kLongestQuiet = 600;

  // The bytes to have now, of which there are `present`. Looks come in the order of time.
  uint64_t next(const MemoryLook& look, const MemoryBounds& bounds, uint64_t present);

 private:
  uint64_t less(const MemoryLook& look, const MemoryBounds& bounds, uint64_t present) const;
  void note_pressure(double seconds);

  bool began_ = false;
  double pressed_at_ = 0;  // last
  double stepped_at_ = -kBetweenSteps;
  double grown_at_ = -kTooSoon;
  double quiet_ = kQuiet;
  bool pays_for_growth_ = false;  // it has grown since quiet_ was looked at
};

}  // namespace hypura
