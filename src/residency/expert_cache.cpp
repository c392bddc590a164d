#include "residency/expert_cache.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hypura {

ExpertCache::ExpertCache(const Config& config, std::shared_ptr<Rankings> rankings)
    : config_(config),
      layers_(config.layers, Layer(config.experts)),
      rankings_(rankings != nullptr ? std::move(rankings)
                                    : std::make_shared<Rankings>(config.layers, ExpertRanking(config.experts))) {
  assert(config.layers > 0 && config.experts > 0);
  // Lowest slots are handed out first: the order in which their memory is provided (RamSlots).
  const auto fill = [](std::vector<Slot>& free, uint32_t slots) {
    for (Slot slot = slots; slot-- > 0;) {
      free.push_back(slot);
    }
  };
  if (!config.own_slots.empty()) {
    assert(config.own_slots.size() == config.layers);
    for (uint32_t i = 0; i < config.layers; ++i) {
      fill(layers_[i].free, config.own_slots[i]);
      layers_[i].quota = std::min(config.experts, config.own_slots[i]);
    }
    return;
  }
  fill(free_, config.slots);
  set_quotas();
}

void ExpertCache::set_quotas() {
  const Config& config = config_;
  assert(config.spare <= config.slots);
  assert(config.spare > 0 || config.slots >= config.layers * config.experts);
  assert(config.quotas.empty() || config.quotas.size() == config.layers);
  const uint32_t shared = config.slots - config.spare;
  for (uint32_t i = 0; i < config.layers; ++i) {
    const uint32_t even = shared / config.layers + (i < shared % config.layers ? 1 : 0);
    layers_[i].quota = std::min(config.experts, config.quotas.empty() ? even : config.quotas[i]);
  }
}

// A pin counts as one, what is loading as more than any number of pins.
uint64_t ExpertCache::loading_or_pinned() const {
  uint64_t count = 0;
  for (const Layer& layer : layers_) {
    for (const Entry& it : layer.entries) {
      count += it.state == State::kLoading ? uint64_t{1} << 32 : it.pins;
    }
  }
  return count;
}

std::optional<std::vector<ExpertCache::Move>> ExpertCache::resize(const Resize& wanted) {
  assert(config_.own_slots.empty());
  if (loading_or_pinned() != wanted.pinned || (wanted.pinned > 0 && wanted.pinned >= wanted.slots)) {
    return std::nullopt;
  }
  config_.slots = wanted.slots;
  config_.spare = wanted.spare;
  config_.quotas = wanted.quotas;
  set_quotas();
  evict_beyond_quotas();
  evict_down_to(wanted.slots - wanted.spare);
  return bring_before(wanted.slots, wanted.most_moves);
}

void ExpertCache::evict_beyond_quotas() {
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    while (layers_[layer].held > layers_[layer].quota && evict_one(layer)) {
    }
  }
}

// As far as something is not pinned. Seldom more than a few: those that the layer in work has beyond its quota.
void ExpertCache::evict_down_to(uint32_t experts) {
  uint32_t all = 0;
  for (const Layer& layer : layers_) {
    all += layer.held;
  }
  for (; all > experts; --all) {
    std::optional<uint32_t> from;
    double lowest = 0;
    for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
      const Entry* its = least(layer);
      const double now = its == nullptr ? 0 : worth(layer, number_of(layer, *its));
      if (its != nullptr && (!from || now < lowest)) {
        from = layer;
        lowest = now;
      }
    }
    if (!from) {
      return;
    }
    evict_one(*from);
  }
}

void ExpertCache::set_own_slots(uint32_t layer, uint32_t slots) {
  assert(!config_.own_slots.empty());
  Layer& it = layers_[layer];
  for (Entry& entry : it.entries) {
    if (entry.state == State::kResident && entry.slot >= slots) {
      assert(entry.pins == 0);
      evict(layer, entry);
    }
  }
  std::erase_if(it.free, [slots](Slot slot) { return slot >= slots; });
  for (Slot slot = config_.own_slots[layer]; slot < slots; ++slot) {
    it.free.insert(it.free.begin(), slot);  // lowest are handed out first
  }
  config_.own_slots[layer] = slots;
  it.quota = std::min(config_.experts, slots);
}

// What is behind the first `slots` gets one of them that is free, or is evicted.
std::vector<ExpertCache::Move> ExpertCache::bring_before(uint32_t slots, uint32_t most_moves) {
  struct Behind {
    uint32_t layer = 0;
    Entry* entry = nullptr;
    double worth = 0;
  };
  std::vector<Behind> behind;
  std::vector<bool> used(slots);
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    for (Entry& it : layers_[layer].entries) {
      if (it.state == State::kResident && it.slot >= slots) {
        behind.push_back({layer, &it, it.above ? -1 : worth(layer, number_of(layer, it))});
      } else if (it.state == State::kResident) {
        used[it.slot] = true;
      }
    }
  }
  std::ranges::stable_sort(behind, [](const Behind& a, const Behind& b) {
    const bool pinned = a.entry->pins > 0;
    return pinned != (b.entry->pins > 0) ? pinned : a.worth > b.worth;
  });
  std::vector<Slot> free;
  for (Slot slot = slots; slot-- > 0;) {
    if (!used[slot]) {
      free.push_back(slot);
    }
  }
  std::vector<Move> moves;
  for (const Behind& it : behind) {
    if (it.entry->pins == 0 && moves.size() >= most_moves) {
      evict(it.layer, *it.entry);
      continue;
    }
    moves.push_back({it.entry->slot, free.back()});
    it.entry->slot = free.back();
    free.pop_back();
  }
  free_ = std::move(free);  // last: what was evicted gave its slot back to the old ones
  return moves;
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
  std::vector<Slot>& free = free_of(layer);
  if (free.empty() && !config_.own_slots.empty()) {
    evict_one(layer);
  }
  if (free.empty()) {
    return std::nullopt;
  }
  it.slot = free.back();
  it.state = State::kLoading;
  free.pop_back();
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
  free_of(layer).push_back(it.slot);
}

std::optional<ExpertCache::Slot> ExpertCache::take_back(uint32_t layer, uint32_t expert) {
  const Layer& it = layers_[layer];
  if (it.entries[expert].state != State::kAbsent) {
    return std::nullopt;
  }
  const bool makes_room = it.held >= it.quota && std::ranges::none_of(it.entries, &Entry::above);
  if (makes_room || free_.empty()) {
    const Entry* out = least(layer);
    if (out == nullptr || (!out->above && worth(layer, expert) <= worth(layer, number_of(layer, *out)))) {
      return std::nullopt;
    }
  }
  if (free_.empty()) {
    evict_one(layer);
  }
  return take(layer, expert);
}

void ExpertCache::release(uint32_t layer, uint32_t expert) {
  Entry& it = entry(layer, expert);
  assert(it.state == State::kResident && it.pins > 0);
  --it.pins;
  if (layers_[layer].held > layers_[layer].quota) {
    evict_one(layer);
  }
}

bool ExpertCache::resident(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kResident;
}

std::optional<ExpertCache::Slot> ExpertCache::slot_of(uint32_t layer, uint32_t expert) const {
  return resident(layer, expert) ? std::optional(layers_[layer].entries[expert].slot) : std::nullopt;
}

bool ExpertCache::absent(uint32_t layer, uint32_t expert) const {
  return layers_[layer].entries[expert].state == State::kAbsent;
}

// Of the layer's unpinned experts the one to be evicted first; nullptr when all are pinned.
ExpertCache::Entry* ExpertCache::least(uint32_t layer) {
  Entry* victim = nullptr;
  double least = 0;
  std::vector<Entry>& entries = layers_[layer].entries;
  for (uint32_t expert = 0; expert < entries.size(); ++expert) {
    Entry& it = entries[expert];
    if (it.state != State::kResident || it.pins > 0) {
      continue;
    }
    if (it.above) {
      return &it;
    }
    if (const double now = worth(layer, expert); victim == nullptr || now < least) {
      victim = &it;
      least = now;
    }
  }
  return victim;
}

double ExpertCache::least_worth(uint32_t layer) {
  const Entry* victim = layers_[layer].free.empty() ? least(layer) : nullptr;
  return victim == nullptr ? 0 : worth(layer, number_of(layer, *victim));
}

// False when all are pinned.
bool ExpertCache::evict_one(uint32_t layer) {
  Entry* victim = least(layer);
  if (victim != nullptr) {
    evict(layer, *victim);
  }
  return victim != nullptr;
}

void ExpertCache::evict(uint32_t layer, Entry& victim) {
  victim.state = State::kAbsent;
  victim.above = false;
  --layers_[layer].held;
  free_of(layer).push_back(victim.slot);
}

}  // namespace hypura
