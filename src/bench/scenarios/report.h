// The figures for people (Markdown) and for programs (JSON).
#pragma once

#include <string>
#include <vector>

#include "bench/isolation/machine_state.h"
#include "bench/scenarios/evaluation.h"
#include "bench/scenarios/scenario_runs.h"

namespace hypura::bench {

struct Report {
  MachineFacts machine;  // before the first run
  BenchOptions options;
  Capabilities capabilities;
  std::vector<Evaluation> evaluations;
};

// A sentence for each thing that this process may not do: what, why, which figures it costs.
std::vector<std::string> remarks_on(const Capabilities& capabilities);

std::string markdown_report(const Report& report);

// Every run with all its counters, and the figures made of them.
std::string json_report(const Report& report);

}  // namespace hypura::bench
