// Runs the scenarios: which arms, under which limit, with which of the machine's settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/isolation/capabilities.h"
#include "bench/rounds.h"
#include "bench/scenarios/scenario.h"
#include "hypura/result.h"

namespace hypura::bench {

struct BenchOptions {
  std::filesystem::path program;  // what a child process runs: hypura-bench itself
  Models models;
  std::vector<Scenario> scenarios;
  uint32_t repeat = 3;
  uint32_t tokens = 32;
  uint32_t threads = 1;
  double probe_seconds = 1.0;  // for each pattern of the disk probe
  bool uncapped = false;       // go on where no memory cgroup can be made
  // Plain llama.cpp is measured with this readahead alone, where the disk has it or it is kCommonReadaheadKib; 0: both.
  uint32_t readahead_kib = 0;
};

struct ScenarioRuns {
  Scenario scenario;
  uint64_t file_bytes = 0;
  uint64_t budget = 0;
  uint64_t limit = 0;             // of the cgroup; 0: none
  std::vector<ProbedSpeed> disk;  // as Rounds::disk; empty where not needed
  std::vector<ArmRuns> arms;      // what is compared with first; in a sweep the automatic plan first
};

// Hypura's own arm: with its plan as it chose it.
const ArmRuns& hypura_arm(const ScenarioRuns& runs);

// The arms of a kDraft scenario: without drafts, then with those of `spec`.
std::vector<Arm> draft_arms(const Scenario& scenario, const RunSpec& spec);

// Runs one scenario. Fails as run_rounds does.
Result<ScenarioRuns> run_scenario(const BenchOptions& options, const Capabilities& capabilities,
                                  const Scenario& scenario);

}  // namespace hypura::bench
