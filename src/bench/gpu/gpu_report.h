// The figures of a GPU's scenarios, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "bench/gpu/gpu_scenario.h"
#include "bench/isolation/machine_state.h"

namespace hypura::bench {

struct GpuScenarioRuns {
  GpuScenario scenario;
  DividedModel model;
  std::vector<ArmRuns> arms;  // as arms_of() gave them
};

// A ratio of medians, and what it should be. None where a run that it needs failed.
struct GpuVerdict {
  std::string what;  // "decode, by the best split"
  std::optional<double> ratio;
  double target = 0;

  bool passed() const { return ratio && *ratio >= target; }
};

struct GpuReport {
  std::string device;
  MachineFacts machine;
  std::vector<GpuScenarioRuns> scenarios;
};

// Ours is the last arm.
std::vector<GpuVerdict> verdicts_on(const GpuScenarioRuns& runs);

std::string gpu_markdown(const GpuReport& report);

// Every run with all its counters, and the figures made of them.
std::string gpu_json(const GpuReport& report);

}  // namespace hypura::bench
