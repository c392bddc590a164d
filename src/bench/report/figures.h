// From the runs of `hypura bench` to its figures: medians, ranges, ratios, the bound, prediction against measurement.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/rounds.h"
#include "bench/spread.h"

namespace hypura {

// One arm over its good runs. Rates in tokens/s, times in seconds, sizes in bytes.
struct ArmFigures {
  std::string title;
  bool plain = false;
  std::optional<Spread> decode;
  std::optional<Spread> prefill;
  std::optional<Spread> first_token;
  std::optional<Spread> load;
  std::optional<Spread> bytes_per_token;
  std::optional<Spread> prompt_bytes;
  std::optional<Spread> process_peak;  // resident in the process
  std::optional<Spread> vram_peak;     // of a GPU's own memory; none where none was watched
  std::optional<Spread> cgroup_peak;   // charged to the cgroup, page cache included; none without one
  std::vector<std::string> failures;   // why runs failed, one each
};

// Hypura by the best plain arm: above 1 is better, for times too.
struct Ratios {
  std::optional<double> decode;
  std::optional<double> prefill;
  std::optional<double> first_token;
};

// The most tokens/s that were possible in each round: what the disk gave by what a token read, and no more than the
// plan says computing allows, where there is a plan. Medians of the rounds.
struct BoundFigures {
  Spread disk_bytes_per_second;
  double tokens_per_second = 0;
  double share = 0;  // measured by possible
  bool by_compute = false;
};

// One quantity as the plan said it and as it was measured; `error` is a share of the measurement.
struct Against {
  double predicted = 0;
  double measured = 0;
  double error = 0;
};

struct PredictionFigures {
  Against decode;
  Against memory_peak;
  std::optional<Against> prefill;          // for prompts of 512 tokens only: that is what the plan tells
  std::optional<Against> bytes_per_token;  // when streaming
  std::optional<Against> hit_rate;         // for models with experts
  std::string hit_rate_source;
};

struct BenchFigures {
  std::vector<ArmFigures> arms;           // hypura's first
  Ratios ratios;                          // empty without a baseline
  std::optional<Spread> hit_rate;         // 0..1; none for a model without experts, or resident
  std::optional<Spread> gpu_hit_rate;     // 0..1, of the same experts those in VRAM; none without a GPU
  std::optional<Spread> gpu_bytes;        // copied to VRAM and from it, per decoded token; none without a GPU
  std::optional<Spread> disk_rate;        // bytes/s while at least one read was in flight, while decoding
  std::optional<Spread> disk_busy;        // share of the time of decoding, 0..1
  std::optional<TimeSplit> token_split;   // seconds for a token, of the run whose speed is the median's nearest
  std::optional<TimeSplit> prompt_split;  // seconds for the prompt, of that run
  std::optional<DraftCount> drafts;       // of all good rounds together; none where none were made
  std::optional<BoundFigures> bound;
  std::optional<PredictionFigures> prediction;
  std::string no_prediction;  // why there is none
  std::string mode;
  std::string plan;  // in the engine's own words
};

// `rounds.arms` must have hypura's arm first.
BenchFigures bench_figures(const Rounds& rounds);

}  // namespace hypura
