// How fast one GPU brings weights in and computes with them, for one model: plain numbers in the terms of a placement
// problem (placement/problem.h). plan/gpu_speeds.h fills them in, from the device's profile.
//
// All times are seconds, all rates bytes a second.
#pragma once

#include <vector>

#include "placement/problem_parts.h"

namespace hypura {

struct GpuSpeeds {
  // Copies of one expert's matrices, many at a time: from the memory that RAM's slots lie in (pinned where the device
  // has such) to the device, and back.
  double upload_bytes_per_second = 1;
  double download_bytes_per_second = 1;

  // What a layer costs besides for being cut: the router's choice is fetched, the device waited for and started anew.
  // A layer whose experts all have slots is not cut.
  double sync_seconds = 0;

  // The same as the fields of these names in PlacementProblem, when the device computes with weights in its own memory.
  // A layer's experts take what layer_computing() says, with these seconds in place of the group's.
  PassSeconds rest;                  // what is neither a dense weight there nor an expert; a layer's launches
  std::vector<PassSeconds> dense;    // one for each of PlacementProblem::dense
  std::vector<PassSeconds> experts;  // of one expert, by group; its matrices as they are on disk
  double attention = 0;              // what a token's pass takes besides for each token that is in the context already

  // A whole pass with everything in the device's memory: one token, and each further of a large ubatch.
  PassSeconds resident;
};

}  // namespace hypura
