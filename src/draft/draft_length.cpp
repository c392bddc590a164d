#include "draft/draft_length.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

namespace hypura {

namespace {

// Passes differ by what the cache holds: a tenth of the latest, once there were ten.
constexpr double kLeastWeight = 0.1;
constexpr double kUnknownSlope = 0.01;
// What was seen fades with a half-life of about 34 tokens tried: texts change.
constexpr double kQualityFade = 0.98;
// Less promise than that is noise.
constexpr double kLeastGain = 1.05;
// Trying again when it does not pay: one length after the other, for that share of all time, of which half is gone
// after 700 passes. Where tokens share experts a long draft may pay and a short one not.
constexpr std::array<uint32_t, 3> kTryTokens = {2, 4, 8};
constexpr double kTryShare = 0.015;
constexpr double kTimeFade = 0.999;

}  // namespace

double expected_tokens(double acceptance, uint32_t drafted) {
  const double p = std::min(acceptance, 0.999);
  return (1 - std::pow(p, drafted + 1)) / (1 - p);
}

void PassCosts::note(uint32_t tokens, double seconds) {
  Seen& it = seen_[tokens];
  ++it.passes;
  it.seconds += (seconds - it.seconds) * std::max(kLeastWeight, 1.0 / it.passes);
}

double PassCosts::seconds(uint32_t tokens) const {
  if (seen_.empty()) {
    return 0;
  }
  const auto above = seen_.lower_bound(tokens);
  if (above == seen_.begin()) {
    return above->second.seconds;
  }
  const auto below = std::prev(above);
  const double more = tokens - below->first;
  if (above != seen_.end()) {
    const double slope = (above->second.seconds - below->second.seconds) / (above->first - below->first);
    return below->second.seconds + more * slope;
  }
  double slope = kUnknownSlope * below->second.seconds;
  if (below != seen_.begin()) {
    const auto before = std::prev(below);
    slope = std::max(0.0, (below->second.seconds - before->second.seconds) / (below->first - before->first));
  }
  return below->second.seconds + more * slope;
}

void DraftQuality::note(uint32_t drafted, uint32_t accepted, double seconds) {
  if (drafted == 0) {
    return;
  }
  const uint32_t tried = std::min(accepted + 1, drafted);
  const double fade = std::pow(kQualityFade, tried);
  accepted_ = accepted_ * fade + accepted;
  tried_ = tried_ * fade + tried;
  const double each = seconds / drafted;
  seconds_ = timed_ ? seconds_ + (each - seconds_) * kLeastWeight : each;
  timed_ = true;
}

uint32_t DraftLength::choose(const DraftQuality& quality, uint32_t tokens, uint32_t answers) const {
  const double plain = costs_.seconds(tokens);
  if (plain <= 0 || answers == 0) {
    return 0;  // what a pass takes is to be seen first
  }
  // Sizes not seen yet are approached by doubling: what they take is only an estimate.
  const uint32_t known = std::max(2 * costs_.largest(), tokens) - tokens;
  const uint32_t most = std::min(most_, std::max(1U, known / answers));
  uint32_t best = 0;
  double best_rate = kLeastGain / plain;
  for (uint32_t drafted = 1; drafted <= most; ++drafted) {
    const double seconds = costs_.seconds(tokens + answers * drafted) + answers * drafted * quality.seconds();
    const double rate = quality.expected(drafted) / seconds;
    if (rate > best_rate) {
      best = drafted;
      best_rate = rate;
    }
  }
  const bool may_try = best == 0 && lost_ + plain <= kTryShare * spent_;
  return may_try ? std::min(most_, kTryTokens[tries_ % kTryTokens.size()]) : best;
}

void DraftLength::note(const DraftedPass& pass) {
  costs_.note(pass.tokens + pass.drafted, pass.pass_seconds);
  const double seconds = pass.pass_seconds + pass.draft_seconds;
  spent_ = spent_ * kTimeFade + seconds;
  lost_ *= kTimeFade;
  if (pass.drafted > 0) {
    const double without = costs_.seconds(pass.tokens) * (1 + static_cast<double>(pass.accepted) / pass.answers);
    lost_ = std::max(0.0, lost_ + seconds - without);
    ++tries_;
  }
}

}  // namespace hypura
