// From runs to figures: medians, ratios, shares of the physical bound, and whether the targets are met. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/scenarios/scenario_runs.h"
#include "bench/spread.h"

namespace hypura::bench {

// One quantity over all arms. A speed: more is better.
struct Comparison {
  std::string what;                         // "decode" or "prefill", tokens/s
  std::vector<std::optional<Spread>> arms;  // as ScenarioRuns::arms; none when all its runs failed
  std::optional<double> ratio;              // hypura's median by the best plain median
};

// The most tokens/s that were possible: what the disk gave by what a token read, and no more than computing allows.
struct Bound {
  Spread disk_bytes_per_second;
  Spread bytes_per_token;
  double tokens_per_second = 0;  // median of the rounds
  double share = 0;              // measured by possible, median of the rounds
  bool by_compute = false;       // computing is the tighter limit, not the disk
};

// How a prompt's reading and computing went beside each other. Seconds, medians of the rounds.
struct Overlap {
  double reading = 0;    // its bytes by what the disk gave alone, just before and after
  double computing = 0;  // as counted while reads were under way
  double taken = 0;
  double share = 0;  // the longer of the two by what was taken, median of the rounds
};

struct LoadTime {
  Spread first_token_seconds;
  double resident_bytes = 0;  // median
  double disk_seconds = 0;    // for those bytes, median of the rounds
};

// What the plan said beforehand, and what came of it. Errors are shares of the measurement.
struct PredictionCheck {
  double first_speed = 0;      // tokens/s: predicted in the first round
  double predicted_speed = 0;  // in the last: by then the plan is calibrated by the rounds before
  Spread measured_speed;
  double speed_error = 0;
  double predicted_peak = 0;  // bytes of the process
  Spread measured_peak;
  double peak_error = 0;
};

// The best plan set by hand against the automatic one.
struct SweepResult {
  std::string best;       // title of the fastest hand-set arm
  double best_speed = 0;  // its median both_rate()
  double automatic_speed = 0;
  double share = 0;       // automatic by best
  size_t impossible = 0;  // hand-set plans that did not run
  size_t same = 0;        // hand-set plans that are the automatic one: their runs count for it
};

// A figure of the last arm against that of the first.
struct Gain {
  std::string what;  // of the figure, with its unit
  Spread first;
  Spread last;
  double ratio = 0;      // last by first
  double target = 0;     // 0: none
  bool at_least = true;  // whether the target is the least or the most
};

struct Verdict {
  std::string what;
  std::optional<double> measured;  // none when it could not be measured
  double target = 0;
  bool at_least = true;   // else at most
  bool evaluated = true;  // false where what is missing (see Capabilities) makes the figure worthless

  bool passed() const { return measured && (at_least ? *measured >= target : *measured <= target); }
};

struct Evaluation {
  ScenarioRuns runs;
  std::vector<Comparison> comparisons;
  std::optional<Bound> bound;
  std::optional<Overlap> overlap;
  std::optional<LoadTime> load;
  std::optional<PredictionCheck> prediction;
  std::optional<SweepResult> sweep;
  std::optional<Gain> gain;
  std::vector<Verdict> verdicts;
};

// Median tokens/s of a model with everything resident, where that was measured.
struct ResidentSpeed {
  std::optional<double> decode;
  std::optional<double> prefill;
};

// Hypura's, of a resident scenario.
ResidentSpeed resident_speed(const ScenarioRuns& runs);

// `resident`, of the same model, limits prompts, and the decoding of MoE models, whose bytes per token the cache makes
// small.
Evaluation evaluate(ScenarioRuns runs, const ResidentSpeed& resident, const Capabilities& capabilities);

}  // namespace hypura::bench
