// What `hypura bench` found, as a table for people and as JSON.
#pragma once

#include <string>
#include <vector>

#include "bench/bench_options.h"
#include "bench/isolation/machine_state.h"
#include "bench/report/figures.h"
#include "bench/report/limits.h"

namespace hypura {

struct BenchReport {
  BenchOptions options;  // with model, context and threads as they were used
  std::string model_name;
  uint64_t model_bytes = 0;
  MachineFacts machine;  // before the first run
  BenchLimits limits;
  PlainSplits plain_splits;               // of the baseline
  std::vector<std::string> uncontrolled;  // a sentence each
  std::string no_bound;                   // why the disk was not probed, else empty
  Rounds rounds;
  BenchFigures figures;
};

// "in 24.0 MiB", or "with all the memory there is".
std::string memory_text(const BenchOptions& options);

// "28.4 ms" or "4.45 s".
std::string time_text(double seconds);

// Medians with their ranges; a column for each arm, the ratio last. Plain ASCII but for names, lines as long as they
// must be.
std::string bench_table(const BenchReport& report);

// Every run with all its counters, and the figures made of them. Bytes, seconds, tokens/s; what was not measured is
// null.
std::string bench_json(const BenchReport& report);

}  // namespace hypura
