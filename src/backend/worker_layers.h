// What a worker computes of a model: the experts of its layers; or, of a model without any, the feed-forward parts of
// them, each whole, as if it were the one expert of its layer.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/stream_layout.h"

namespace hypura {

struct WorkerLayer {
  int layer = 0;                         // its number in the model
  uint32_t experts = 1;                  // of a feed-forward part 1
  bool dense = false;                    // it is a feed-forward part
  std::vector<const TensorInfo*> parts;  // matrices [from, to], or [from, to, experts]
  std::vector<uint32_t> items;           // of a feed-forward part: all of its ranges, in StreamLayout::dense
  uint64_t bytes = 0;                    // of one expert; of a feed-forward part where it is pinned
  uint32_t width = 0;                    // numbers of a row that goes in, at most
  uint32_t result = 0;                   // and of one that comes out
};

// Ascending. Of a layout of all layers that streams experts or dense weights; of one that streams both, the experts.
std::vector<WorkerLayer> worker_layers(const StreamLayout& layout);

}  // namespace hypura
