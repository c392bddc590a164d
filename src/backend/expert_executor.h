// Computes the expert block of a layer from slots: what is resident at once, what is missing as it lands.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/expert_ahead.h"
#include "backend/expert_batch.h"
#include "backend/expert_block.h"
#include "backend/foresight.h"
#include "backend/inner_graph.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "backend/warm_start.h"
#include "residency/expert_cache.h"
#include "residency/routing_recorder.h"
#include "storage/reader.h"
#include "support/memory_region.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class ExpertExecutor {
 public:
  // Choices for each expert of a layer from which on a pass is taken to need every one: with as many, made by chance, 5
  // in 100 are left out; the more uneven routing is, the more.
  static constexpr uint32_t kChoicesForAll = 3;

  // Slots left free by what is read ahead.
  static constexpr uint32_t kReserve = 1;

  // Allocates `slots` slots, of which `spare` are kept free and each layer keeps its number of `quotas` (see
  // ExpertCache), and buffers for `max_rows` rows. Experts that many rows chose are repacked in `room`, or never when
  // that is nullptr.
  static Result<std::unique_ptr<ExpertExecutor>> create(const StreamLayout& layout, Reader& reader, InnerGraph& inner,
                                                        StreamStats& stats, uint32_t slots, uint32_t spare,
                                                        const std::vector<uint32_t>& quotas, uint32_t max_rows,
                                                        RepackRoom* room);

  // Computes the block. Fails with kIo when a read fails, with kInternal when the router chose an expert that is not
  // there or ggml refused. After a failure the cache is consistent and the block's results are undefined.
  Status run(const ExpertBlock& block);

  ~ExpertExecutor();
  ExpertExecutor(const ExpertExecutor&) = delete;
  ExpertExecutor& operator=(const ExpertExecutor&) = delete;

  // From now on the next layer's experts are read ahead as `foresight` guesses, in decode passes; nullptr: none are.
  void foresee(Foresight* foresight) { foresight_ = foresight; }

  // Whether the next layer's experts are read ahead in a prompt's passes, whose tokens together choose nearly all.
  void read_prompts_ahead(bool wanted) { prompts_ahead_ = wanted; }

  // What earlier runs chose, of layers as in the layout: the cache learns from it. Call once, before the first run().
  void recall(const RoutingTrace& trace);

  // Reads what they used most, a little with every call (see WarmStart::step). False when nothing is left to do: all is
  // there, or run() was called.
  bool warm_up();

  bool resident(uint32_t layer, uint32_t expert) const { return cache_.resident(layer, expert); }

  // From now on each block's choice is noted in `recorder`, which must outlive the object; nullptr: in none.
  void record(RoutingRecorder* recorder) { recorder_ = recorder; }

 private:
  // An expert the block needs, with the pairs (token * used + position) that chose it.
  struct Demand {
    uint32_t expert = 0;
    uint32_t slot = 0;
    ReadGroup group = 0;
    std::vector<uint32_t> pairs;
  };

  ExpertExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                 const ExpertCache::Config& config);

  Status collect(const ExpertBlock& block);
  void look_up(const ExpertBlock& block);
  void take_what_was_read_ahead(const ExpertBlock& block);
  void issue_reads(const ExpertBlock& block);
  std::optional<ExpertCache::Slot> take_slot(uint32_t layer, uint32_t expert);
  bool decoding() const;
  void judge_guesses(const ExpertBlock& block);
  void guess(const ExpertBlock& block);
  void read_ahead(const ExpertBlock& block);
  Status land(const ExpertBlock& block, Demand& demand);
  Status compute_hits(const ExpertBlock& block);
  Status compute_misses(const ExpertBlock& block);
  void settle(const ExpertBlock& block);
  void end_warm_start();
  void drain(const ExpertBlock& block);

  template <class Ready>
  size_t batch_end(const std::vector<Demand*>& demands, size_t begin, size_t end, Ready ready) const;
  std::span<const ChosenExpert> chosen(std::span<Demand* const> demands);
  std::byte* slot_data(uint32_t slot) const { return slots_.data() + slot * layout_.slot_stride; }

  const StreamLayout& layout_;
  Reader& reader_;
  InnerGraph& inner_;
  StreamStats& stats_;
  ExpertCache cache_;
  MemoryRegion slots_;
  std::unique_ptr<ExpertAhead> ahead_;
  std::unique_ptr<WarmStart> warm_;  // until the first run()
  Foresight* foresight_ = nullptr;
  bool prompts_ahead_ = false;
  std::unique_ptr<ExpertBatch> batch_;
  uint32_t max_rows_ = 0;
  RoutingRecorder* recorder_ = nullptr;

  // Of the block in work; members so that their memory is reused.
  std::vector<Demand> demands_;  // by expert; empty pairs: not chosen
  std::vector<Demand*> hits_;
  std::vector<Demand*> misses_;
  size_t next_miss_ = 0;  // first miss not yet issued
  size_t computed_ = 0;   // misses that are computed
  std::vector<ChosenExpert> chosen_;
  std::vector<uint16_t> routed_;      // by pair: its expert
  std::vector<ExpertGuess> guesses_;  // for the next layer
  uint32_t guessed_ = 0;              // how many of them there are
  uint32_t judged_layer_ = 0;         // for which a token's guesses were made; 0: for none
};

}  // namespace hypura
