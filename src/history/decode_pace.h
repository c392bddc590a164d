// How long tokens really took, by what the plan says of them: learned while running, told to later plans. A plan knows
// a processor by its kernels and a disk by some seconds; what else there is shows here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "history/knowledge.h"
#include "hypura/result.h"
#include "model/model.h"
#include "placement/placement.h"

namespace hypura {

// A decode pass of one token.
struct TokenPass {
  double seconds = 0;
  uint64_t bytes = 0;     // read from disk
  uint32_t position = 0;  // tokens in the context before it
};

// Not thread-safe: belongs to the engine's passes.
class DecodePace {
 public:
  // The first passes of an engine fill its caches and say nothing. Of the rest the latest count: enough for a stall of
  // the machine to matter little, few enough for a short answer to tell.
  static constexpr size_t kSkipped = 16;
  static constexpr size_t kFewest = 16;
  static constexpr size_t kMost = 256;

  void note(const TokenPass& pass);

  // Measured by said: 1.2 is a fifth longer than the plan says of passes with as much in the context. Nothing after too
  // few passes, and when they read so much more or less than the plan says that reading the difference would take a
  // tenth of a token's time: caches that are still filling, another kind of text. `said_at`: tokens in the context that
  // `problem` reckons with.
  std::optional<double> against(const PlacementProblem& problem, const Placement& placement, uint32_t said_at) const;

 private:
  size_t noted_ = 0;
  std::vector<TokenPass> latest_;  // a ring of kMost
};

// What was kept for this model since the profile that was `measured_at` then: none of another profile, since paces are
// against what is said from it. Empty where there is none, or it cannot be read.
Paces saved_paces(const Model& model, const std::string& measured_at);

// Keeps `pace`, within 1/kFarthestPace..kFarthestPace, since more than that is another program's doing; or the
// geometric mean with what was kept before, since a machine differs from hour to hour. Fails with kIo when the cache
// folder is not known or cannot be written.
inline constexpr double kFarthestPace = 4;
Status save_pace(const Model& model, const std::string& measured_at, const std::string& key, double pace);

}  // namespace hypura
