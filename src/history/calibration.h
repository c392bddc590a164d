// How long tokens really took, by what the plan says of them: learned while running, told to later plans. A plan knows
// a processor by its kernels and a disk by some seconds; what else there is shows here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "model/model.h"
#include "placement/placement.h"

namespace hypura {

// A decode pass of one token.
struct TokenPass {
  double seconds = 0;
  uint64_t bytes = 0;     // read from disk
  uint32_t position = 0;  // tokens in the context before it
  uint64_t missed = 0;    // experts without a slot on a GPU that computes
};

// Not thread-safe: belongs to the engine's passes.
class DecodeCalibration {
 public:
  // The first passes of an engine fill its caches and say nothing. Of the rest the latest count: enough for a stall of
  // the machine to matter little, few enough for a short answer to tell.
  static constexpr size_t kSkipped = 16;
  static constexpr size_t kFewest = 16;
  static constexpr size_t kMost = 256;

  void note(const TokenPass& pass);

  // Measured by predicted: 1.2 is a fifth longer than the plan says of passes with as much in the context. Nothing
  // after too few passes, and when they read or copied to a GPU so much more or less than the plan says that the
  // difference would take a tenth of a token's time: caches that are still filling, another kind of text, a routing
  // that the plan did not know. The factor would correct for that once more when later plans know it. `predicted_at`:
  // tokens in the context that `problem` reckons with.
  std::optional<double> factor(const PlacementProblem& problem, const Placement& placement,
                               uint32_t predicted_at) const;

 private:
  size_t noted_ = 0;
  std::vector<TokenPass> latest_;  // a ring of kMost
};

// Calibration factors of a model, by the conditions that they hold for (calibration_key() in plan/placement_problem.h).
using CalibrationFactors = std::map<std::string, double>;

// What was saved for this model since the profile that was `measured_at` then: none of another profile, since factors
// are against what is predicted from it. Empty where there is none, or it cannot be read.
CalibrationFactors load_calibration(const Model& model, const std::string& measured_at);

// Saves `factor`, within 1/kLargestFactor..kLargestFactor, since more than that is another program's doing; or the
// geometric mean with what was saved before, since a machine differs from hour to hour. Fails with kIo when the cache
// folder is not known or cannot be written.
inline constexpr double kLargestFactor = 4;
Status save_calibration(const Model& model, const std::string& measured_at, const std::string& key, double factor);

// Forgets the factors of all conditions that begin so: what they are against is predicted otherwise from now on. Fails
// as save_calibration().
Status forget_calibration(const Model& model, const std::string& measured_at, const std::string& beginning);

}  // namespace hypura
