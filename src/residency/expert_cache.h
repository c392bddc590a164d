// Which experts of which layers are in which slot: the policy of the expert cache. Pure bookkeeping: it moves no bytes.
//
// Invariants:
// - A slot is free, loading (taken, not yet committed) or resident, and never two of them.
// - A resident expert that is pinned is never evicted; a loading slot is never handed out.
// - Between passes a layer holds at most its quota of experts; `spare` slots are then free, so that a pass can always
//   read that many missing experts before it has to evict one.
// - Where each layer has slots of its own, it may fill them all, and what is taken evicts.
// - What the tier above has too is evicted before anything else: together two tiers then hold the more.
//
// Each layer has its own quota. On the routing trace of the stories model per-layer quotas hit more than one pool for
// all layers (0.400 against 0.372 at a quarter of the experts), and one pool below the bytes of one token hits nothing.
//
// Eviction takes the expert that is worth least (expert_ranking.h). Measured on that trace, hits in % with 8, 12 and 16
// of 32 experts kept, and the share of the way from LRU to Belady that is gone (docs/lab/experiments.md):
//
//   LRU                           36.9   49.5   61.5
//   an ageing use count alone     39.4   53.3   65.2   .10   .16   .18
//   as here                       42.4   55.4   66.9   .22   .24   .26
//   Belady, who knows the future  62.0   73.8   82.4
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "residency/expert_ranking.h"

namespace hypura {

class ExpertCache {
 public:
  using Slot = uint32_t;

  struct Config {
    uint32_t layers = 0;
    uint32_t experts = 0;  // in each layer
    uint32_t slots = 0;    // in all; at least 1
    uint32_t spare = 1;    // kept free between passes, 1..slots; may be 0 when every expert has a slot
    // Experts that each layer keeps; they add up to at most slots - spare. Empty: as many for one layer as for another.
    std::vector<uint32_t> quotas = {};
    // By layer: slots of its own, numbered from 0, for memory that is divided among the layers once and for all. Then
    // `slots`, `spare` and `quotas` are not looked at.
    std::vector<uint32_t> own_slots = {};
  };

  // By layer. Those of two tiers may be the same: what one of them is told of a pass, both then know.
  using Rankings = std::vector<ExpertRanking>;

  // With rankings of its own where there are none.
  explicit ExpertCache(const Config& config, std::shared_ptr<Rankings> rankings = nullptr);
  std::shared_ptr<Rankings> rankings() const { return rankings_; }

  // Bytes that the cache takes for its own books, nearly all of them the rankings'.
  static uint64_t bytes_for(uint32_t layers, uint32_t experts) { return ExpertRanking::bytes_for(layers, experts); }

  // A pass comes to `layer`. May be told of earlier passes too, whose experts are then never looked up.
  void begin(uint32_t layer, const PassChoice& pass) { (*rankings_)[layer].note(pass); }

  // Gives the slot of an expert that the pass uses, pinned until release(), when it is resident.
  std::optional<Slot> lookup(uint32_t layer, uint32_t expert);

  // Takes a free slot for reading `expert` into; none when all are in use. The expert must be absent. Of a layer with
  // slots of its own the unpinned expert that is worth least is evicted where no slot is free.
  std::optional<Slot> take(uint32_t layer, uint32_t expert);

  // The bytes of a slot taken for this expert have arrived: it is resident and pinned.
  void commit(uint32_t layer, uint32_t expert);

  // The read of a taken slot failed: the slot is free again and the expert absent.
  void abandon(uint32_t layer, uint32_t expert);

  // The same as take(), of those that all layers share, for an expert that the tier above gives up: none also where it
  // would be worth less than what had to go for it. What had to goes now, or at release().
  std::optional<Slot> take_back(uint32_t layer, uint32_t expert);

  // Whether the tier above has a resident expert too, as long as it is resident here.
  void set_above(uint32_t layer, uint32_t expert, bool above) { entry(layer, expert).above = above; }

  // The pass is done with a pinned expert. When the layer holds more than its quota, its unpinned expert that is
  // worth least (it may be this one) is evicted and its slot freed.
  void release(uint32_t layer, uint32_t expert);

  // Bytes of a slot that are to be moved to another.
  struct Move {
    Slot from = 0;
    Slot to = 0;
  };

  struct Resize {
    uint32_t slots = 0;
    uint32_t spare = 0;  // as in Config, as the next
    std::vector<uint32_t> quotas = {};
    uint32_t pinned = 0;               // experts that may be pinned and move all the same: the caller's, each once
    uint32_t most_moves = UINT32_MAX;  // but for pinned ones; what is left behind the last slot is evicted
  };

  // The layer has so many slots of its own from now on; what lay in those behind them, which nothing pins, is gone.
  // Only where layers have slots of their own.
  void set_own_slots(uint32_t layer, uint32_t slots);

  // From now on there are so many slots, spare ones and quotas. What a layer holds beyond its quota is evicted, what is
  // worth least first; what lies behind the last slot is from now on in one that was free, what is worth most first:
  // gives what the caller has to move before it takes a slot. In the midst of a layer's work its pinned experts all
  // stay, beyond its quota too: what that takes of the spare slots is evicted from any layer. Nothing changes, and
  // nothing is given, while something is loading or others are pinned, and where no slot would be left beside the
  // pinned ones. Not where layers have slots of their own.
  std::optional<std::vector<Move>> resize(const Resize& wanted);

  bool resident(uint32_t layer, uint32_t expert) const;
  // Where a resident expert is.
  std::optional<Slot> slot_of(uint32_t layer, uint32_t expert) const;
  // Neither resident nor loading.
  bool absent(uint32_t layer, uint32_t expert) const;
  // Every expert has a slot: none is ever evicted.
  bool holds_all() const { return config_.own_slots.empty() && config_.spare == 0; }
  // Of those that all layers share.
  uint32_t free_slots() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t slots() const { return config_.slots; }
  uint32_t quota(uint32_t layer) const { return layers_[layer].quota; }
  uint32_t held(uint32_t layer) const { return layers_[layer].held; }
  // What an expert is worth by now, ExpertRanking::worth.
  double worth(uint32_t layer, uint32_t expert) { return (*rankings_)[layer].worth(expert); }
  // The same of what take() would evict from the layer's own slots; 0 where one is free, or all are pinned.
  double least_worth(uint32_t layer);

 private:
  enum class State : uint8_t { kAbsent, kLoading, kResident };

  struct Entry {
    State state = State::kAbsent;
    bool above = false;  // resident, and in the tier above too
    uint32_t pins = 0;
    Slot slot = 0;
  };

  struct Layer {
    explicit Layer(uint32_t experts) : entries(experts) {}

    uint32_t quota = 0;
    uint32_t held = 0;       // resident experts
    std::vector<Slot> free;  // of its own slots
    std::vector<Entry> entries;
  };

  Entry& entry(uint32_t layer, uint32_t expert) { return layers_[layer].entries[expert]; }
  std::vector<Slot>& free_of(uint32_t layer) { return config_.own_slots.empty() ? free_ : layers_[layer].free; }
  uint32_t number_of(uint32_t layer, const Entry& it) const {
    return static_cast<uint32_t>(&it - layers_[layer].entries.data());
  }
  uint64_t loading_or_pinned() const;
  void set_quotas();
  Entry* least(uint32_t layer);
  bool evict_one(uint32_t layer);
  void evict(uint32_t layer, Entry& victim);
  void evict_beyond_quotas();
  void evict_down_to(uint32_t experts);
  std::vector<Move> bring_before(uint32_t slots, uint32_t most_moves);

  Config config_;
  std::vector<Layer> layers_;
  std::shared_ptr<Rankings> rankings_;
  std::vector<Slot> free_;
};

}  // namespace hypura
