// The experts of a model in the slots of a tier: which are there, which are on their way, and which go.
//
// A layer acquires the experts that it uses. Each acquisition is a lease: one whose expert is there is pinned at once;
// one whose expert is not is pending, until it was waited for. Both are computed alike.
//
// The slots are a cache above the disk, and what is read is not yet admitted: ExpertCache decides what stays. What was
// prefetched on a prediction takes a slot as any expert that loads, and becomes the pending lease of the layer that
// asks for it. What was not asked for is cancelled when that layer comes, so that predictions never move the cache.
// Decoding reads on a prediction only where such predictions were right of late (PredictionRecord). Where every expert
// has a slot nothing can be moved, and what was predicted wrongly is kept for later: there all are read.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hypura/routing.h"
#include "residency/expert_cache.h"
#include "residency/expert_predictor.h"
#include "residency/layer_expert.h"
#include "residency/prediction_record.h"
#include "storage/reader.h"
#include "tiers/slices.h"
#include "tiers/store_stats.h"
#include "tiers/tier_slots.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class ExpertStore {
 public:
  // Slots that prefetching leaves free.
  static constexpr uint32_t kReserve = 1;

  // Most bytes under way while warming, but for one expert: what a fast disk reads in two milliseconds, and at most
  // what the first pass finds in its way.
  static constexpr uint64_t kMostWarmBytes = 16 << 20;

  struct Sizes {
    uint32_t slots = 0;
    uint32_t spare = 0;                    // of them, see ExpertCache
    std::vector<uint32_t> quotas;          // experts that each layer keeps, see ExpertCache
    std::vector<uint32_t> own_slots = {};  // in place of all these: each layer's own slots, see ExpertCache
  };

  // An expert that the layer in work uses.
  class Lease {
   public:
    uint32_t expert() const { return expert_; }
    // Which slot holds it. Once it is pinned.
    uint32_t slot() const { return fill_.slot; }

   private:
    friend class ExpertStore;
    enum class State : uint8_t { kQueued, kPending, kPinned, kEnded };

    uint32_t expert_ = 0;
    State state_ = State::kQueued;  // queued: it has no slot yet
    TierSlots::Fill fill_;
  };

  // Allocates slots in RAM. `layers`, `reader` and `stats` must outlive the object. `before_blocking` is called before
  // the calling thread is put to sleep until a read has ended. Fails with kBudget.
  static Result<std::unique_ptr<ExpertStore>> create(std::span<const ExpertLayer> layers, Reader& reader,
                                                     StoreStats& stats, const Sizes& sizes,
                                                     std::function<void()> before_blocking);

  // The same over the slots of any tier. `below`: what its slots are filled from, where that is a store too; the two
  // then rank experts together, by what this one is told of the passes: the other is to be told nothing.
  static std::unique_ptr<ExpertStore> over(std::span<const ExpertLayer> layers, StoreStats& stats, const Sizes& sizes,
                                           std::unique_ptr<TierSlots> slots, std::function<void()> before_blocking,
                                           const ExpertStore* below = nullptr);

  // Bytes that the store takes besides its slots, nearly all of them the cache's books.
  static uint64_t bytes_for(std::span<const ExpertLayer> layers);

  ~ExpertStore();  // ends what is under way
  ExpertStore(const ExpertStore&) = delete;
  ExpertStore& operator=(const ExpertStore&) = delete;

  // A pass comes to `layer`, whose tokens chose `choice`: `experts`, ascending, each once. Pins what is there, and
  // requests what is not, as far as there are slots. What was prefetched for the layer, and is not among them, is
  // cancelled. finish() must have ended the layer before.
  void acquire(uint32_t layer, const PassChoice& choice, std::span<const uint32_t> experts);

  // One for each expert: first those that were there, which are pinned; then the others, in the order of the requests.
  // Valid until finish().
  std::span<const Lease> leases() const { return leases_; }
  size_t hits() const { return hits_; }

  // Misses that have a slot, and are not released.
  size_t misses_in_slots() const { return requested_ - released_; }

  // Whether more would be read if there were slots for it.
  bool wants_slots() const { return requested_ < leases_.size() || (streaming_ && streamed_ < predictions_.size()); }

  // Whether the lease has a slot: else release_misses() has to free one before it is waited for.
  bool requested(size_t lease) const { return leases_[lease].state_ != Lease::State::kQueued; }

  // Whether the lease is pinned, or its expert has arrived, well or badly. Lets reads go on; never blocks.
  bool ready(size_t lease);

  // Pins a lease; blocks until its expert has arrived. Misses are waited for in their order, one after the other; the
  // first that is not released has always been requested. Fails with kIo when it could not be read; then finish() has
  // to follow.
  Status wait(size_t lease);

  // The misses before number `end` of the leases, all waited for, have been computed: they are unpinned, and what had
  // no slot is requested.
  void release_misses(size_t end);

  // The layer is done, or cancelled after a failure: nothing of it is pinned or under way any more.
  void finish();

  // `predictions` of what `layer`, the next, will choose, surest first. Those that are neither there nor on their way
  // are read as soon as all that the layer in work asked for has arrived, as long as more than kReserve slots are free
  // and, while decoding, the record says that it pays. At most once between acquire() and finish().
  void prefetch(uint32_t layer, std::span<const ExpertPrediction> predictions);

  // The same for a prompt, whose tokens together choose nearly all: they are read as soon as all that the layer in work
  // asked for is requested, and go on as it releases slots. What comes next is needed as surely as what is under way,
  // so that it need not wait for it, and the disk never rests.
  void stream_ahead(uint32_t layer, std::span<const ExpertPrediction> predictions);

  // `predictions` of what `layer` will choose are compared with what it asks for; nothing is read for them.
  void expect(uint32_t layer, std::span<const ExpertPrediction> predictions);

  // Whether that prediction, by its number, is worth reading if its expert is not here: while decoding, as the record
  // says.
  bool worth_reading(size_t prediction) const;

  // Lets reads go on, without blocking.
  void poll() { slots_->poll(); }

  // What earlier runs chose, of layers as here: the cache learns from it. Call at most once, before the first
  // acquire().
  void learn(const RoutingTrace& trace);

  // These are to be read by warm(), in their order: of each layer at most its quota.
  void warm_with(std::span<const LayerExpert> hot);

  // Both: what earlier runs used most is to be read.
  void recall(const RoutingTrace& trace);

  // By layer: how many experts it keeps.
  std::vector<uint32_t> quotas() const;

  // Until the next acquire(): admits what has arrived of what is to be warmed, unpinned, and requests more. Nothing is
  // evicted for it, since no layer gets more than its quota. With io_uring reading goes on only as the reader is
  // entered: call it every millisecond. False when nothing is left to do: all is there, a read failed (who asks for
  // such an expert will be told), or acquire() was called, to which what is under way is then prefetched.
  bool warm();

  // Whether there can be fewer slots than at first, whose memory is then the system's.
  bool resizes() const { return slots_->resizes(); }

  // Most bytes that a change moves, but for what is pinned: what a slow machine copies in less than a second.
  static constexpr uint64_t kMostMovedBytes = uint64_t{1} << 30;

  // From now on there are so many slots, at most as many as at first; own_slots is not looked at. What is worth least
  // goes; what stays keeps its bytes. Ends what is under way. In the midst of a layer's work too, between two waits
  // whose experts were computed: what is leased stays, in other slots maybe, and what was under way is requested
  // again. False while the tier above pins something, and where the pinned leases leave no slot: then it is to be asked
  // for again when more was released. Only where resizes().
  bool resize(const Sizes& sizes);

  // The layer has so many slots of its own from now on, numbered from 0; what lay in those behind them is gone. Only
  // with Sizes::own_slots, while no layer holds leases.
  void set_own_slots(uint32_t layer, uint32_t slots) { cache_.set_own_slots(layer, slots); }
  uint32_t own_slots(uint32_t layer) const { return cache_.quota(layer); }

  // What is worth most of what is not here is to be read by warm(), of each layer up to its quota.
  void warm_again();

  // --- a store below another tier ---

  // The tier above has an expert of here too: here it goes before all others.
  void raised(uint32_t layer, uint32_t expert);

  // The tier above gives an expert up. The slot that its bytes are to be copied into, until landed(), so that it stays
  // in memory; none where it is here anyway, or would be worth less than what had to go for it. Between acquire() and
  // finish(), or after it.
  std::optional<uint32_t> lower(uint32_t layer, uint32_t expert);

  // All that was lowered has arrived. Not while a layer holds leases, which make room for it.
  void landed();

  // The tier above expects that `layer` will choose `experts`, and keeps the score itself: those that are neither here
  // nor on their way are read, as by prefetch(); what was prefetched before and not asked for is cancelled. When all
  // that the layer in work asked for has arrived.
  void prefetch_for_above(uint32_t layer, std::span<const uint32_t> experts);

  // Pins an expert that is here, for a copy to the tier above before it is asked for; gives its slot. Besides leases,
  // until unpin().
  std::optional<uint32_t> pin(uint32_t layer, uint32_t expert) { return cache_.lookup(layer, expert); }
  void unpin(uint32_t layer, uint32_t expert) { cache_.release(layer, expert); }

  // The tier above was asked for `experts` experts in a decode pass that it had copied from here on a prediction: they
  // count as found here.
  void count_found(uint64_t experts);

  // Every expert has a slot: none is ever evicted.
  bool holds_all() const { return cache_.holds_all(); }

  bool resident(uint32_t layer, uint32_t expert) const { return cache_.resident(layer, expert); }

  // What an expert is worth keeping by now, ExpertRanking::worth.
  double worth(uint32_t layer, uint32_t expert) { return cache_.worth(layer, expert); }

  // The same of what a missing expert of the layer would drive out; 0 where a slot is free.
  double least_worth(uint32_t layer) { return cache_.least_worth(layer); }

  // In which slot a resident expert is.
  std::optional<uint32_t> slot_of(uint32_t layer, uint32_t expert) const { return cache_.slot_of(layer, expert); }

  // Where kernels find a matrix of a layer's experts: of the expert of a pinned lease, at the lease's slot.
  MatrixView view(uint32_t layer, uint32_t part) const { return slots_->view(layer, part); }

 private:
  ExpertStore(std::span<const ExpertLayer> layers, StoreStats& stats, const Sizes& sizes,
              std::unique_ptr<TierSlots> slots, std::function<void()> before_blocking, const ExpertStore* below);

  void end_requests();
  void go_on_after_resize();
  void claim_prefetches();
  void claim_for(LayerExpert on_its_way);
  std::optional<TierSlots::Fill> claim(LayerExpert wanted);
  void request_misses();
  std::optional<uint32_t> slot_for(uint32_t expert);
  void score_predictions(std::span<const uint32_t> experts);
  void start_prefetch();
  bool prefetch_one(uint32_t layer, uint32_t expert, Priority priority);
  void go_on_streaming();
  void stop_warming();
  bool admit_warmed();
  bool admit(const Status& read, const TierSlots::Fill& fill);
  void cancel_prefetches();
  void end_all_unwanted();
  void end_unwanted(const TierSlots::Fill& fill);
  bool reclaim(bool wait);

  std::span<const ExpertLayer> layers_;
  StoreStats& stats_;
  ExpertCache cache_;
  std::unique_ptr<TierSlots> slots_;
  std::function<void()> before_blocking_;

  // Of the layer in work. Leases before requested_ have a slot, before arrived_ were waited for, before released_ are
  // unpinned or hits.
  uint32_t layer_ = 0;
  bool decode_ = false;
  std::vector<Lease> leases_;
  std::vector<uint32_t> missing_;
  size_t hits_ = 0;
  size_t requested_ = 0;
  size_t arrived_ = 0;
  size_t released_ = 0;

  // For the next layer.
  uint32_t predicted_layer_ = 0;
  std::vector<ExpertPrediction> predictions_;
  std::vector<bool> predicted_absent_;  // by prediction: its expert was not here when it was made
  PredictionRecord record_;             // of those
  size_t streamed_ = 0;                 // of these, seen to; the others as slots become free
  bool streaming_ = false;              // they are wanted by a prompt

  std::vector<TierSlots::Fill> prefetching_;
  std::vector<TierSlots::Fill> unwanted_;  // cancelled, or left to end where all is kept; their slots are not free yet

  std::vector<LayerExpert> lowered_;  // not landed

  std::deque<LayerExpert> hot_;  // to be warmed
  bool warming_ = false;         // what is prefetching_ is being warmed
  uint64_t warming_bytes_ = 0;   // of that
};

}  // namespace hypura
