// The linear program that a placement is rounded from, and whose optimum no placement beats.
#pragma once

#include <cstdint>
#include <optional>

#include "placement/problem.h"

namespace hypura {

// What is chosen before memory is divided: the choices that are not a matter of more or less.
struct Frame {
  Mode mode = Mode::kResident;
  uint32_t kv = 0;
  uint32_t ubatch = 0;
  uint32_t spare = 0;       // slots kept free
  bool all_cached = false;  // every expert has a slot, and none need be spare
  bool ring = false;        // dense weights are streamed, not only pinned
  bool rows = false;        // tables are looked up row by row
  uint64_t ring_bytes = 0;  // of the ring
  uint64_t capacity = 0;    // bytes for pinned weights (with a ring) and for slots beyond the spare ones
};

struct Relaxed {
  double bound = 0;   // no placement in this frame has a smaller objective()
  double cached = 0;  // experts
  double pinned = 0;  // bytes of dense weights
};

// Solves the relaxation in which experts and dense weights may be kept in part, and times are only bounded from below.
// None without a solver.
std::optional<Relaxed> relax(const PlacementProblem& problem, const Frame& frame);

}  // namespace hypura
