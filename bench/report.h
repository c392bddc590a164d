// The figures for people (Markdown) and for programs (JSON).
#pragma once

#include <string>
#include <vector>

#include "bench/evaluation.h"
#include "bench/rounds.h"
#include "bench/system_state.h"

namespace hypura::bench {

struct Report {
  MachineFacts machine;  // before the first run
  BenchOptions options;
  Abilities abilities;
  std::vector<Evaluation> evaluations;
};

std::string markdown_report(const Report& report);

// Every run with all its counters, and the figures made of them.
std::string json_report(const Report& report);

}  // namespace hypura::bench
