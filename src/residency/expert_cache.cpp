#include "residency/expert_cache.h"

#include <algorithm>
#include <cassert>

namespace hypura {

ExpertCache::ExpertCache(const Config& config) : config_(config), layers_(config.layers, Layer(config.experts)) {
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
  }
}

std::optional<ExpertCache::Slot> ExpertCache::lookup(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
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
    evict_one(layers_[layer]);
  }
}

bool ExpertCache::resident(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kResident;
}

bool ExpertCache::absent(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kAbsent;
}

void ExpertCache::evict_one(Layer& layer) {
  Entry* victim = nullptr;
  double least = 0;
  for (uint32_t expert = 0; expert < layer.entries.size(); ++expert) {
    Entry& it = layer.entries[expert];
    if (it.state != State::kResident || it.pins > 0) {
      continue;
    }
    if (const double worth = layer.ranking.worth(expert); victim == nullptr || worth < least) {
      victim = &it;
      least = worth;
    }
  }
  if (victim != nullptr) {
    victim->state = State::kAbsent;
    --layer.held;
    free_.push_back(victim->slot);
  }
}

}  // namespace hypura
