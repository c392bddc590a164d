// Reads the experts that earlier runs used most while nobody asks for any yet: between opening and the first pass.
//
// They enter the cache as experts that a pass is done with: resident, unpinned, worth what the cache was told of them.
// Nothing is evicted for them, since no layer is given more than its quota. When the first pass comes to experts, it
// stops: what is under way then may be taken over, so that no read is made twice and none is waited for.
//
// With io_uring something must enter the reader for reading to go on: whoever owns this calls step() every millisecond.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "backend/expert_ahead.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "residency/expert_cache.h"
#include "residency/hot_set.h"
#include "storage/reader.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class WarmStart {
 public:
  // Most bytes under way, but for one expert: what a fast disk reads in two milliseconds, and at most what the first
  // pass finds in its way.
  static constexpr uint64_t kMostBytes = 16 << 20;

  // `hot`: what is to be read, in this order. The cache is empty, and each layer's quota is enough for its experts.
  WarmStart(const StreamLayout& layout, Reader& reader, ExpertCache& cache, std::byte* slots, StreamStats& stats,
            std::vector<LayerExpert> hot);

  // Takes in what has landed and asks for more. False when nothing is left to do; then as stop() without anything under
  // way. A read that fails ends it: whoever asks for such an expert will be told.
  bool step();

  // Takes in what has landed. Gives what is under way, which is the caller's from then on.
  std::vector<ExpertAhead::Reading> stop();

 private:
  void take_in();
  bool land(const ExpertAhead::Reading& reading);

  const StreamLayout& layout_;
  Reader& reader_;
  ExpertCache& cache_;
  std::byte* slots_;
  StreamStats& stats_;
  std::deque<LayerExpert> hot_;
  std::vector<ExpertAhead::Reading> under_way_;
  uint64_t bytes_ = 0;  // of them
};

}  // namespace hypura
