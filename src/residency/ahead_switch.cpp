#include "residency/ahead_switch.h"

#include <algorithm>

namespace hypura {

namespace {

// A mean over about four stretches: passes differ by what they miss.
constexpr double kLeastWeight = 1.0 / 64;

}  // namespace

void AheadSwitch::note(double seconds) {
  // The first pass of a stretch still has what the one before it read, or did not.
  if (pass_ > 0) {
    Kind& kind = kinds_[on_ ? 1 : 0];
    ++kind.passes;
    kind.seconds += (seconds - kind.seconds) * std::max(kLeastWeight, 1.0 / kind.passes);
  }
  if (++pass_ == kStretch) {
    pass_ = 0;
    ++stretch_;
    choose();
  }
}

void AheadSwitch::choose() {
  const bool known = kinds_[0].passes > 0 && kinds_[1].passes > 0;
  const bool better = !known ? !on_ : kinds_[1].seconds <= kinds_[0].seconds;
  on_ = known && stretch_ % kTryEvery == kTryEvery - 1 ? !better : better;
}

}  // namespace hypura
