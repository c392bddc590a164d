// Makes the measured runs: each in a fresh process, the arms of a comparison one after the other in every round.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/disk_probe.h"
#include "bench/run_spec.h"
#include "bench/scenario.h"
#include "hypura/result.h"

namespace hypura::bench {

struct BenchOptions {
  std::filesystem::path program;  // what a child process runs: hypura-bench itself
  std::filesystem::path moe;
  std::filesystem::path dense;
  std::vector<Scenario> scenarios;
  uint32_t repeat = 3;
  uint32_t tokens = 32;
  uint32_t threads = 1;
  double probe_seconds = 1.0;  // for each pattern of the disk probe
  double run_seconds = 1800;   // a run that takes longer is given up
  bool uncapped = false;       // go on where no memory cgroup can be made
};

// What this process may do; what it may not leaves figures out.
struct Abilities {
  bool cgroups = false;
  bool drop_caches = false;
  bool readahead = false;
  std::vector<std::string> remarks;  // a sentence for each thing missing: what, why, which figures it costs
};
Abilities find_abilities(const BenchOptions& options);

// One side of a comparison.
struct Arm {
  std::string engine;  // "plain" or "hypura"
  std::string title;
  std::optional<uint32_t> readahead_kib;  // none: the disk's own
};

struct ArmRuns {
  Arm arm;
  std::vector<RunResult> runs;  // one a round; only the first round's where another readahead was 1.5 times as fast
};

// The results of the runs that did not fail.
std::vector<const RunResult*> good_runs(const ArmRuns& arm);

struct ScenarioRuns {
  Scenario scenario;
  uint64_t file_bytes = 0;
  uint64_t budget = 0;
  uint64_t limit = 0;           // of the cgroup; 0: none
  std::vector<DiskSpeed> disk;  // one a round: the better of before and after hypura's run; empty where not needed
  std::vector<ArmRuns> arms;
};

// Runs one scenario. A run that fails is a result with `error`; what stops the scenario is an error: a stop that was
// requested (kCancelled), a disk that cannot be probed, a setting that cannot be restored (kIo).
Result<ScenarioRuns> run_scenario(const BenchOptions& options, const Abilities& abilities, const Scenario& scenario);

}  // namespace hypura::bench
