#include "residency/prefetch_switch.h"

#include <algorithm>
#include <cmath>

namespace hypura {

namespace {

// A mean over about six comparisons: passes differ by what they miss.
constexpr double kLeastWeight = 1.0 / 6;

// With, without, with: one comparison either way before anything is decided.
constexpr uint32_t kFirstDecision = 4;
constexpr uint32_t kFirstWithout = 2;

}  // namespace

void PrefetchSwitch::note(double seconds) {
  // The first pass of a stretch still has what the one before it read, or did not.
  seconds_ += pass_ > 0 ? seconds : 0;
  if (++pass_ == kStretch) {
    end_stretch();
  }
}

void PrefetchSwitch::end_stretch() {
  const bool first = stretch_ == 0;  // with an empty cache: nothing like those that follow
  if (last_seconds_ > 0 && last_on_ != on_) {
    ++compared_;
    const double sample = std::log(seconds_ / last_seconds_) * (on_ ? 1 : -1);
    log_ratio_ += (sample - log_ratio_) * std::max(kLeastWeight, 1.0 / compared_);
  }
  last_on_ = on_;
  last_seconds_ = first ? 0 : seconds_;
  pass_ = 0;
  seconds_ = 0;
  ++stretch_;
  if (stretch_ < kFirstDecision) {
    on_ = stretch_ != kFirstWithout;
    return;
  }
  const bool better = log_ratio_ <= 0;
  on_ = stretch_ % kTryEvery == kTryEvery - 1 ? !better : better;
}

double PrefetchSwitch::ratio() const {
  return std::exp(log_ratio_);
}

}  // namespace hypura
