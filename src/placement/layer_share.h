// Which machine computes the feed-forward part of which layer, where several have the same dense model: this one, and
// workers that are asked over a network. Pure: it moves nothing.
//
// Machines compute one after the other, and what each does not have in memory it reads meanwhile. So a pass takes as
// long as all computing and asking, or as the machine that reads longest, and some of the shorter of both:
//
//   reading   = max over machines (bytes read in a pass / bytes per second)
//   computing = what is computed anywhere + asks * seconds of one
//   seconds   = the longer of both + 0.4 * the shorter
//
// A layer goes to a worker as long as that makes a pass shorter by this reckoning.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hypura {

// Of the shorter of reading and computing, what is not hidden by the other: a ring holds only some of what comes.
inline constexpr double kSharedOverlapLoss = 0.4;

struct SharedLayer {
  uint64_t bytes = 0;      // of its feed-forward part
  uint64_t read_here = 0;  // of these, not in this machine's memory
  double seconds = 0;      // of computing it here
};

// This machine, without the layers that are shared.
struct SharingHere {
  uint64_t other_reads = 0;     // bytes that it reads in a pass besides
  double bytes_per_second = 1;  // of its reads
  double other_computing = 0;   // seconds that it computes besides
};

struct SharingWorker {
  uint64_t room = 0;  // bytes of memory for feed-forward parts
  double bytes_per_second = 1;
  double ask_seconds = 0;
  double slower = 1;  // it computes a part in so many times what this machine takes
};

// In the answer of share_layers(): this machine; worker i is i + 1.
inline constexpr uint32_t kLayerIsHere = 0;

// For each layer who computes it. Workers that are nullopt are not there. The layers of each lie spread over the model
// where they are alike.
std::vector<uint32_t> share_layers(std::span<const SharedLayer> layers, const SharingHere& here,
                                   std::span<const std::optional<SharingWorker>> workers);

}  // namespace hypura
