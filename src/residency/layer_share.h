// Which machine computes the feed-forward part of which layer, where several have the same dense model: this one, and
// workers that are asked over a network. Pure: it moves nothing.
//
// Every machine reads what of its layers its memory does not hold, while others compute; so a pass takes as long as the
// machine that reads longest, and each worker that is asked adds the time that asking takes:
//
//   seconds = max over machines (bytes read in a pass / bytes per second) + asks * seconds of one
//
// A layer goes to a worker as long as that makes a pass shorter by this reckoning.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hypura {

struct SharedLayer {
  uint64_t bytes = 0;      // of its feed-forward part
  uint64_t read_here = 0;  // of these, not in this machine's memory
};

struct SharingWorker {
  uint64_t room = 0;  // bytes of memory for feed-forward parts
  double bytes_per_second = 1;
  double ask_seconds = 0;
};

// In the answer of share_layers(): this machine; worker i is i + 1.
inline constexpr uint32_t kLayerIsHere = 0;

// For each layer who computes it. `other_reads`: what this machine reads in a pass besides. Workers that are nullopt
// are not there. The layers of each lie spread over the model where they are alike.
std::vector<uint32_t> share_layers(std::span<const SharedLayer> layers, uint64_t other_reads, double bytes_per_second,
                                   std::span<const std::optional<SharingWorker>> workers);

}  // namespace hypura
