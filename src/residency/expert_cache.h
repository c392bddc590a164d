// Which experts of which layers are in which slot: the policy of the expert cache. Pure bookkeeping: it moves no bytes.
//
// Invariants:
// - A slot is free, loading (taken, not yet committed) or resident, and never two of them.
// - A resident expert that is pinned is never evicted; a loading slot is never handed out.
// - Between passes a layer holds at most its quota of experts; `spare` slots are then free, so that a pass can always
//   read that many missing experts before it has to give one up.
//
// Each layer has its own quota. On the routing trace of the stories model per-layer quotas hit more than one pool for
// all layers (0.400 against 0.372 at a quarter of the experts), and one pool below the bytes of one token hits nothing.
//
// Eviction takes the expert with the lowest ageing frequency: every use adds one, and all uses fade with a half-life
// of kHalfLifeTokens (measured best on the same trace: 16..32 tokens; LRU .368, this .400 at 25 %).
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hypura {

class ExpertCache {
 public:
  using Slot = uint32_t;
  static constexpr double kHalfLifeTokens = 22;
  static constexpr double kNeverUsed = -1e300;

  // An expert's score, kNeverUsed at first, after `rows` of the `tokens` tokens of a pass used it; `clock`: tokens
  // evaluated so far, these included. It is log2 of the faded use count, less the fading since time 0, so that scores
  // compare without being touched as time passes.
  static double score_after(double score, double clock, uint32_t tokens, uint32_t rows);

  struct Config {
    uint32_t layers = 0;
    uint32_t experts = 0;  // in each layer
    uint32_t slots = 0;    // in all; at least 1
    uint32_t spare = 1;    // kept free between passes, 1..slots; may be 0 when every expert has a slot
    // Experts that each layer keeps; they add up to at most slots - spare. Empty: as many for one layer as for another.
    std::vector<uint32_t> quotas = {};
  };

  explicit ExpertCache(const Config& config);

  // Starts a pass over `layer` that evaluates `tokens` tokens: its clock moves on by that many.
  void begin(uint32_t layer, uint32_t tokens);

  // Notes that the pass uses `expert` for `rows` of its tokens. Gives the expert's slot, pinned until release(), when
  // it is resident.
  std::optional<Slot> lookup(uint32_t layer, uint32_t expert, uint32_t rows);

  // Takes a free slot for reading `expert` into; none when all are in use. The expert must be absent.
  std::optional<Slot> take(uint32_t layer, uint32_t expert);

  // The bytes of a slot taken for this expert have arrived: it is resident and pinned.
  void commit(uint32_t layer, uint32_t expert);

  // The read of a taken slot failed: the slot is free again and the expert absent.
  void abandon(uint32_t layer, uint32_t expert);

  // The pass is done with a pinned expert. When the layer holds more than its quota, its least used unpinned expert
  // (it may be this one) is evicted and its slot freed.
  void release(uint32_t layer, uint32_t expert);

  bool resident(uint32_t layer, uint32_t expert) const;
  // Neither resident nor loading.
  bool absent(uint32_t layer, uint32_t expert) const;
  uint32_t free_slots() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t slots() const { return config_.slots; }
  uint32_t quota(uint32_t layer) const { return layers_[layer].quota; }

 private:
  enum class State : uint8_t { kAbsent, kLoading, kResident };

  struct Entry {
    State state = State::kAbsent;
    uint32_t pins = 0;
    Slot slot = 0;
    double score = kNeverUsed;
  };

  struct Layer {
    double clock = 0;  // tokens evaluated so far
    uint32_t tokens = 1;
    uint32_t quota = 0;
    uint32_t held = 0;  // resident experts
    std::vector<Entry> entries;
  };

  Entry& entry(uint32_t layer, uint32_t expert) { return layers_[layer].entries[expert]; }
  void evict_least_used(Layer& layer);

  Config config_;
  std::vector<Layer> layers_;
  std::vector<Slot> free_;
};

}  // namespace hypura
