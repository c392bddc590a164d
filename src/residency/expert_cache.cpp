#include "residency/expert_cache.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace hypura {

ExpertCache::ExpertCache(const Config& config) : config_(config), layers_(config.layers) {
  assert(config.layers > 0 && config.experts > 0 && config.spare <= config.slots);
  assert(config.spare > 0 || config.slots >= config.layers * config.experts);
  assert(config.quotas.empty() || config.quotas.size() == config.layers);
  // Lowest slots are handed out first, so that the memory of slots never used is never touched.
  for (Slot slot = config.slots; slot-- > 0;) {
    free_.push_back(slot);
  }
  const uint32_t shared = config.slots - config.spare;
  for (uint32_t i = 0; i < config.layers; ++i) {
    const uint32_t even = shared / config.layers + (i < shared % config.layers ? 1 : 0);
    layers_[i].quota = std::min(config.experts, config.quotas.empty() ? even : config.quotas[i]);
    layers_[i].entries.resize(config.experts);
  }
}

void ExpertCache::begin(uint32_t layer, uint32_t tokens) {
  layers_[layer].clock += tokens;
  layers_[layer].tokens = std::max(tokens, 1U);
}

double ExpertCache::score_after(double score, double clock, uint32_t tokens, uint32_t rows) {
  // `rows` uses spread evenly over the pass's tokens have partly faded by its end: the integral of rows/tokens per
  // token under the half-life. For one token this is close to `rows`.
  const double count = tokens;
  const double faded = rows / count * (kHalfLifeTokens / std::log(2.0)) * (1 - std::exp2(-count / kHalfLifeTokens));
  const double now = clock / kHalfLifeTokens + std::log2(faded);
  const double high = std::max(score, now);
  const double low = std::min(score, now);
  return high + std::log2(1 + std::exp2(low - high));
}

std::optional<ExpertCache::Slot> ExpertCache::lookup(uint32_t layer, uint32_t expert, uint32_t rows) {
  Layer& held = layers_[layer];
  Entry& it = held.entries[expert];
  it.score = score_after(it.score, held.clock, held.tokens, rows);
  if (it.state != State::kResident) {
    return std::nullopt;
  }
  ++it.pins;
  return it.slot;
}

std::optional<ExpertCache::Slot> ExpertCache::take(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
  assert(it.state == State::kAbsent);
  if (free_.empty()) {
    return std::nullopt;
  }
  it.slot = free_.back();
  it.state = State::kLoading;
  free_.pop_back();
  return it.slot;
}

void ExpertCache::commit(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
  assert(it.state == State::kLoading);
  it.state = State::kResident;
  it.pins = 1;
  ++layers_[layer].held;
}

void ExpertCache::abandon(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
  assert(it.state == State::kLoading);
  it.state = State::kAbsent;
  free_.push_back(it.slot);
}

void ExpertCache::release(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
  assert(it.state == State::kResident && it.pins > 0);
  --it.pins;
  if (layers_[layer].held > layers_[layer].quota) {
    evict_least_used(layers_[layer]);
  }
}

bool ExpertCache::resident(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kResident;
}

bool ExpertCache::absent(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kAbsent;
}

void ExpertCache::evict_least_used(Layer& layer) {
  Entry* victim = nullptr;
  for (Entry& it : layer.entries) {
    if (it.state == State::kResident && it.pins == 0 && (victim == nullptr || it.score < victim->score)) {
      victim = &it;
    }
  }
  if (victim != nullptr) {
    victim->state = State::kAbsent;
    --layer.held;
    free_.push_back(victim->slot);
  }
}

}  // namespace hypura
