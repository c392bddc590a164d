// Reads of experts that the next layer is guessed to choose, under way while this layer is computed.
//
// What was read ahead takes a slot like an expert that loads (ExpertCache), and becomes one that was asked for, or is
// given up when the layer comes: it enters the cache only when it is used, so that guesses never move it. Where every
// expert has a slot nothing can be moved, and what was guessed wrongly is kept for later.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/stream_layout.h"
#include "residency/expert_cache.h"
#include "residency/expert_predictor.h"
#include "storage/reader.h"

namespace hypura {

// The reads of one expert of a layer, all its parts, into the slot at `slot`.
std::vector<ReadRequest> expert_reads(const ExpertLayer& layer, uint32_t expert, std::byte* slot);

// Not thread-safe: the owner serialises. The references must outlive the object, which must be drained before it goes.
class ExpertAhead {
 public:
  ExpertAhead(const StreamLayout& layout, Reader& reader, ExpertCache& cache, std::byte* slots)
      : layout_(layout), reader_(reader), cache_(cache), slots_(slots) {}

  struct Reading {
    uint32_t layer = 0;
    uint32_t expert = 0;
    uint32_t slot = 0;
    ReadGroup group = 0;
  };

  // Reads what of `guesses` for `layer` is neither there nor under way, surest first, as long as more than `reserve`
  // slots are free. Gives how many experts that are.
  uint32_t read(uint32_t layer, std::span<const ExpertGuess> guesses, uint32_t reserve);

  // The read of an expert that is asked for now; the caller's from then on. One that was given up is waited for.
  std::optional<Reading> take(uint32_t layer, uint32_t expert);

  // Reads that somebody else began: as if they had been begun here.
  void adopt(std::span<const Reading> readings);

  // The layer has come: what was not taken is given up, or left to end where it will be kept. Slots come back when
  // their reads have ended.
  void give_up_rest();

  // Gives back the slots of reads given up that have ended; `wait`: waits until the first has. False when there is
  // none.
  bool reclaim(bool wait);

  // Ends all reads.
  void drain();

 private:
  void give_back(const Reading& reading);

  const StreamLayout& layout_;
  Reader& reader_;
  ExpertCache& cache_;
  std::byte* slots_;
  std::vector<Reading> under_way_;
  std::vector<Reading> given_up_;
};

// Takes in an expert whose reads into the slot at `slot` have ended as `read` says: it is resident and pinned then
// (ExpertCache::commit), or absent again when they failed. Gives whether it is resident.
bool land_expert(const Status& read, ExpertCache& cache, const ExpertLayer& layer, uint32_t layer_index,
                 uint32_t expert, std::byte* slot);

}  // namespace hypura
