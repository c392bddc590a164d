// How workers are asked.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "residency/machine_speed.h"

namespace hypura {

struct AskingManner {
  // How fast this machine is as long as nothing was measured; so is a worker that does not know better. Of a dense
  // model a feed-forward part is an expert of one row.
  MachineSpeed here{0, 1e-3, 1e-4};
  double other_seconds = 0;  // of a dense model: what this machine computes for a token besides feed-forward parts
  bool alike = false;  // they are taken to be as fast as this machine, and asking to take no time, whatever it takes
  // That each has at least to answer, and if that is longer than usual to connect too.
  std::chrono::milliseconds patience{2000};
  std::vector<bool> left_out = {};  // by worker, those that are not connected to; empty: none

  bool leaves_out(size_t worker) const { return worker < left_out.size() && left_out[worker]; }
};

}  // namespace hypura
