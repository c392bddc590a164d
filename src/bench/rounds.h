// Makes the measured runs: each in a fresh process, the arms of a comparison one after the other in every round.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/isolation/disk_probe.h"
#include "bench/isolation/readahead.h"
#include "bench/run/run_spec.h"
#include "bench/spread.h"
#include "hypura/result.h"

namespace hypura {

inline constexpr uint32_t kCommonReadaheadKib = 128;  // Linux's default

// One side of a comparison.
struct Arm {
  std::string title;
  RunSpec spec;
  std::optional<uint32_t> readahead_kib = std::nullopt;  // none: the disk's own

  bool plain() const { return spec.engine == "plain"; }
};

struct ArmRuns {
  Arm arm;
  std::vector<RunResult> runs;  // one a round; only the first round's where another readahead was 1.5 times as fast
};

// The results of the runs that did not fail.
std::vector<const RunResult*> good_runs(const ArmRuns& arm);

// Tokens that were drafted while decoding, and how many of them were accepted.
struct DraftCount {
  uint64_t drafted = 0;
  uint64_t accepted = 0;
};

// By all of those runs together.
DraftCount drafts_of(const ArmRuns& arm);

// "50 of 88".
std::string to_text(const DraftCount& count);

// Over the good runs, the spread of a figure (RunResult -> double); none when all failed.
template <class Function>
std::optional<Spread> spread_over(const ArmRuns& arm, Function figure) {
  std::vector<double> values;
  for (const RunResult* run : good_runs(arm)) {
    values.push_back(figure(*run));
  }
  return spread_of(std::move(values));
}

// Figures of a run, in tokens/s.
inline double decode_rate(const RunResult& run) {
  return run.decode.tokens_per_second();
}
inline double prefill_rate(const RunResult& run) {
  return run.prefill.tokens_per_second();
}
// Of a token read and a token made together: what a plan is chosen for (placement/cost.h, objective()).
inline double both_rate(const RunResult& run) {
  const double read = prefill_rate(run);
  const double made = decode_rate(run);
  return read > 0 && made > 0 ? 1 / (1 / read + 1 / made) : made;
}

// Plain llama.cpp as it is compared: in each of `splits`, or by the processors alone where there is none; with the
// disk's own readahead and, where that is another and can be set, with kCommonReadaheadKib; never with drafts.
// `readahead` is nullptr when it cannot be set.
std::vector<Arm> plain_arms(RunSpec spec, const Readahead* readahead, const PlainSplits& splits = {});

// The limit of the cgroup in which an engine must keep to `budget`: the budget and 5 % or 64 MiB, whichever is more. 0
// without a budget.
uint64_t limit_of(uint64_t budget);

enum class CacheEmptying { kNone, kModel, kWhole };

struct RoundsOptions {
  std::filesystem::path program;             // run as a child with kChildCommand (child.h)
  std::vector<std::filesystem::path> files;  // of the model
  uint64_t limit = 0;                        // bytes of each run's cgroup; 0: none
  uint64_t touch_bytes = 0;                  // see touch_memory, before each run
  CacheEmptying empty = CacheEmptying::kNone;
  Readahead* readahead = nullptr;  // of the disk under the model; nullptr when it cannot be set
  uint32_t repeat = 3;
  double run_seconds = 1800;     // a run that takes longer is stopped
  double probe_seconds = 1;      // for each pattern of the disk probe before and after hypura's runs; 0: no probe
  bool compare_prefill = false;  // the speed by which a plain arm is dropped is the prompt's, not decoding's
  double far_slower = 0;  // a plain arm that is slower than Hypura by this factor is not repeated; 0: every one is

  std::function<void(uint32_t round, const std::string&)> tell;  // what was found, a line each
  // Looks at each run as it ends, before it is told; an error ends the rounds with it.
  std::function<Status(const Arm&, const RunResult&)> check;
};

struct Rounds {
  std::vector<ArmRuns> arms;
  std::vector<ProbedSpeed>
      disk;  // one a round: the better of before and after hypura's first run; empty without a probe
};

// Each round has a text of its own, the same for all arms: what an earlier run leaves behind, and predictions learn
// from, is of another. A run that fails is a result with `error`; what ends the rounds is an error: a stop that was
// requested (kCancelled), a disk that cannot be probed, a setting that cannot be restored (kIo), and what `check` says.
Result<Rounds> run_rounds(const RoundsOptions& options, std::vector<Arm> arms);

// "first token 1.20 s, prompt 30.1 tok/s, decode 7.55 tok/s, 61.2 MB/token", with ", drafts accepted: 50 of 88" where
// some were made; or "failed: " and why.
std::string summary_of(const RunResult& run);

}  // namespace hypura
