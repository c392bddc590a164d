#include "residency/coactivation.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string_view>

#include "residency/little_endian.h"
#include "support/fnv.h"

namespace hypura {

namespace {

constexpr std::string_view kCoactivationMagic = "HYPCOACT";
constexpr uint32_t kCoactivationVersion = 1;
constexpr uint64_t kCoactivationHeaderBytes = 8 + 3 * 4;
constexpr uint64_t kCoactivationHashBytes = 8;

// Keeps odds finite where an expert was always chosen, or never.
constexpr double kLeastShare = 1e-4;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Transitions from a layer to the next; they are numbered as the layers they leave.
uint64_t steps(uint32_t layers) {
  return layers - uint64_t{1};
}

uint64_t saved_bytes(uint32_t layers, uint32_t experts) {
  return kCoactivationHeaderBytes + steps(layers) * experts * (uint64_t{experts} + 1) * sizeof(uint16_t) +
         kCoactivationHashBytes;
}

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::kIo, "the saved co-activation is damaged: {}; without it, it is learned anew", what);
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

size_t CoActivation::predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertGuess> out) const {
  if (layer >= steps(layers_) || use_sums_[layer] == 0 || chosen.empty()) {
    return 0;
  }
  const std::vector<double> share = shares(layer, chosen.size());
  std::vector<double> evidence(experts_);
  weigh(layer, chosen, share, evidence);
  std::vector<ExpertGuess> guesses(experts_);
  for (uint32_t b = 0; b < experts_; ++b) {
    const double score = std::log(share[b] / (1 - share[b])) + kEvidenceWeight * std::log(evidence[b]);
    guesses[b] = {b, static_cast<float>(1 / (1 + std::exp(-score)))};
  }
  return copy_surest(guesses, out);
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

std::vector<std::byte> CoActivation::save() const {
  std::vector<std::byte> bytes;
  bytes.reserve(saved_bytes(layers_, experts_));
  for (const char letter : kCoactivationMagic) {
    bytes.push_back(static_cast<std::byte>(letter));
  }
  for (const uint32_t number : {kCoactivationVersion, layers_, experts_}) {
    put(bytes, number);
  }
  for (const auto* counts : {&uses_, &pairs_}) {
    for (const uint16_t count : *counts) {
      put(bytes, count);
    }
  }
  put(bytes, fnv1a(as_text(bytes)));
  return bytes;
}

Result<CoActivation> CoActivation::load(std::span<const std::byte> bytes, uint32_t layers, uint32_t experts) {
  if (as_text(bytes).substr(0, kCoactivationMagic.size()) != kCoactivationMagic) {
    return fail(ErrorCode::kUsage, "this is no saved co-activation");
  }
  if (bytes.size() < kCoactivationHeaderBytes + kCoactivationHashBytes) {
    return damaged("it ends in its header");
  }
  std::string_view in = as_text(bytes).substr(kCoactivationMagic.size());
  if (const auto version = take<uint32_t>(in); version != kCoactivationVersion) {
    return fail(ErrorCode::kUsage, "the saved co-activation is of version {}, and only version {} is known here",
                version, kCoactivationVersion);
  }
  const auto its_layers = take<uint32_t>(in);
  const auto its_experts = take<uint32_t>(in);
  if (its_layers != layers || its_experts != experts) {
    return fail(ErrorCode::kUsage, "the saved co-activation is of a model with {} layers of {} experts, not {} of {}",
                its_layers, its_experts, layers, experts);
  }
  if (bytes.size() != saved_bytes(layers, experts)) {
    return damaged(fmt::format("it has {} bytes and not {}", bytes.size(), saved_bytes(layers, experts)));
  }
  std::string_view hash = as_text(bytes.last(kCoactivationHashBytes));
  if (take<uint64_t>(hash) != fnv1a(as_text(bytes.first(bytes.size() - kCoactivationHashBytes)))) {
    return damaged("its checksum is wrong");
  }
  CoActivation loaded(layers, experts);
  for (auto* counts : {&loaded.uses_, &loaded.pairs_}) {
    for (uint16_t& count : *counts) {
      count = take<uint16_t>(in);
    }
  }
  if (!loaded.derive_sums()) {
    return damaged("its counts contradict each other");
  }
  return loaded;
}

bool CoActivation::derive_sums() {
  for (uint64_t row = 0; row < uses_.size(); ++row) {
    if (uses_[row] > kRowLimit) {
      return false;
    }
    const uint64_t layer = row / experts_;
    use_sums_[layer] += uses_[row];
    for (uint32_t b = 0; b < experts_; ++b) {
      const uint16_t pair = pairs_[row * experts_ + b];
      if (pair > uses_[row]) {
        return false;
      }
      column_sums_[layer * experts_ + b] += pair;
    }
  }
  return true;
}

}  // namespace hypura
