#include "residency/coactivation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace hypura {

namespace {

// Keeps odds finite where an expert was always chosen, or never.
constexpr double kLeastShare = 1e-4;

// Transitions from a layer to the next; they are numbered as the layers they leave.
uint64_t steps(uint32_t layers) {
  return layers - uint64_t{1};
}

}  // namespace

CoActivation::CoActivation(uint32_t layers, uint32_t experts)
    : layers_(layers),
      experts_(experts),
      uses_(steps(layers) * experts),
      pairs_(steps(layers) * experts * experts),
      column_sums_(steps(layers) * experts),
      use_sums_(steps(layers)) {
  assert(layers > 0 && experts > 0);
}

uint64_t CoActivation::bytes_for(uint32_t layers, uint32_t experts) {
  return steps(layers) *
         (experts * (uint64_t{experts} + 1) * sizeof(uint16_t) + (uint64_t{experts} + 1) * sizeof(uint32_t));
}

// By expert: the share of tokens that chose it next, whatever they chose before; each chose `count`.
std::vector<double> CoActivation::shares(uint32_t layer, size_t count) const {
  const double unseen = kPriorUses * static_cast<double>(count) / experts_;  // at first all are as likely
  const uint32_t* sums = column_sums_.data() + uint64_t{layer} * experts_;
  const double uses = use_sums_[layer] + kPriorUses;
  std::vector<double> shares(experts_);
  for (uint32_t b = 0; b < experts_; ++b) {
    shares[b] = std::clamp((sums[b] + unseen) / uses, kLeastShare, 1 - kLeastShare);
  }
  return shares;
}

// By expert: the product, over all of `chosen`, of its odds after that one against its odds after anything.
void CoActivation::weigh(uint32_t layer, std::span<const uint16_t> chosen, std::span<const double> shares,
                         std::span<double> evidence) const {
  std::fill(evidence.begin(), evidence.end(), 1);
  for (const uint16_t a : chosen) {
    assert(a < experts_);
    const uint64_t row = uint64_t{layer} * experts_ + a;
    const uint16_t* pairs = pairs_.data() + row * experts_;
    const double uses = uses_[row];
    for (uint32_t b = 0; b < experts_; ++b) {
      const double share = shares[b];
      const double rest = 1 - share;
      evidence[b] *= (pairs[b] + kPriorUses * share) * rest / ((uses - pairs[b] + kPriorUses * rest) * share);
    }
  }
}

void CoActivation::likelihoods(uint32_t layer, std::span<const uint16_t> chosen, std::span<double> out) const {
  const std::vector<double> share = shares(layer, chosen.size());
  weigh(layer, chosen, share, out);
  for (uint32_t b = 0; b < experts_; ++b) {
    const double against = (1 - share[b]) / (share[b] * out[b]);
    out[b] = 1 / (1 + against);
  }
}

size_t CoActivation::predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const {
  if (layer >= steps(layers_) || use_sums_[layer] == 0 || chosen.empty()) {
    return 0;
  }
  const std::vector<double> share = shares(layer, chosen.size());
  std::vector<double> evidence(experts_);
  weigh(layer, chosen, share, evidence);
  std::vector<ExpertPrediction> predictions(experts_);
  for (uint32_t b = 0; b < experts_; ++b) {
    const double score = std::log(share[b] / (1 - share[b])) + kEvidenceWeight * std::log(evidence[b]);
    predictions[b] = {b, static_cast<float>(1 / (1 + std::exp(-score)))};
  }
  return copy_surest(predictions, out);
}

void CoActivation::learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) {
  assert(layer < steps(layers_));
  uint32_t* sums = column_sums_.data() + uint64_t{layer} * experts_;
  for (const uint16_t a : chosen) {
    assert(a < experts_);
    const uint64_t row = uint64_t{layer} * experts_ + a;
    if (uses_[row] == kRowLimit) {
      halve(layer, a);
    }
    ++uses_[row];
    ++use_sums_[layer];
    for (const uint16_t b : next) {
      assert(b < experts_);
      // An expert named twice counts once: shares stay below one.
      if (uint16_t& pair = pairs_[row * experts_ + b]; pair < uses_[row]) {
        ++pair;
        ++sums[b];
      }
    }
  }
}

void CoActivation::halve(uint32_t layer, uint32_t expert) {
  const uint64_t row = uint64_t{layer} * experts_ + expert;
  use_sums_[layer] -= uses_[row] - uses_[row] / 2;
  uses_[row] /= 2;
  for (uint32_t b = 0; b < experts_; ++b) {
    uint16_t& pair = pairs_[row * experts_ + b];
    column_sums_[uint64_t{layer} * experts_ + b] -= pair - pair / 2;
    pair /= 2;
  }
}

}  // namespace hypura
