#include "bench/rounds.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "bench/child.h"
#include "bench/memory_box.h"
#include "bench/page_cache.h"
#include "bench/process.h"
#include "bench/readahead.h"
#include "bench/system_state.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

constexpr uint32_t kCommonReadaheadKib = 128;  // Linux's default

const std::filesystem::path& model_of(const BenchOptions& options, const Scenario& scenario) {
  return scenario.moe ? options.moe : options.dense;
}

std::string box_name() {
  return fmt::format("hypura-bench-{}", getpid());
}

std::vector<Arm> arms_of(const Scenario& scenario, const Readahead* readahead) {
  std::vector<Arm> arms;
  if (scenario.kind != Kind::kLoad) {
    const std::string own = readahead == nullptr ? "" : fmt::format(", {} KiB readahead", readahead->own_kib());
    arms.push_back({"plain", "plain" + own, std::nullopt});
  }
  const bool mapped_matters = scenario.kind == Kind::kDecode || scenario.kind == Kind::kPrefill;
  if (mapped_matters && readahead != nullptr && readahead->own_kib() != kCommonReadaheadKib) {
    arms.push_back({"plain", fmt::format("plain, {} KiB readahead", kCommonReadaheadKib), kCommonReadaheadKib});
  }
  arms.push_back({"hypura", "hypura", std::nullopt});
  return arms;
}

RunResult failed_run(std::string message) {
  RunResult result;
  result.error = std::move(message);
  return result;
}

RunResult result_of(const ProcessOutcome& outcome, bool out_of_memory, double run_seconds) {
  if (outcome.timed_out) {
    return failed_run(fmt::format("given up after {:.0f} s", run_seconds));
  }
  if (outcome.signal == SIGKILL && out_of_memory) {
    return failed_run("killed by the kernel: it needed more memory than the limit");
  }
  if (outcome.signal != 0) {
    return failed_run(fmt::format("ended by signal {}", outcome.signal));
  }
  auto result = result_from_json(outcome.output);
  return result ? std::move(*result)
                : failed_run(fmt::format("{} (exit status {})", result.error().message, outcome.exit_status));
}

constexpr uint64_t kCacheTolerance = 16 * kMiB;

// Mapped weights that lie in memory at another's expense make a limit void: an error when there are some.
Status check_page_cache(const std::filesystem::path& model, uint64_t charged, const char* when) {
  const auto cached = cached_bytes(model);
  if (!cached) {
    return propagate(cached.error());
  }
  if (*cached > charged + kCacheTolerance) {
    return fail(ErrorCode::kIo,
                "not valid: {} the run {} of {} lay in the page cache outside of its limit, so another process uses "
                "the file; end it, or measure another file",
                when, format_bytes(*cached - charged), model.string());
  }
  return {};
}

// One run in a process of its own, in a cgroup of its own when `limit` is not 0.
Result<RunResult> make_run(const BenchOptions& options, const RunSpec& spec, uint64_t limit) {
  std::optional<MemoryBox> box;
  if (limit > 0) {
    auto made = MemoryBox::create(box_name(), limit);
    if (!made) {
      return propagate(made.error());
    }
    box.emplace(std::move(*made));
  }
  const auto outcome = run_process(options.program, {"hypura-bench", kChildCommand, to_json_line(spec)},
                                   box ? box->entrance() : std::filesystem::path(), options.run_seconds);
  if (!outcome) {
    return propagate(outcome.error());
  }
  RunResult result = result_of(*outcome, box && box->out_of_memory(), options.run_seconds);
  if (box) {
    result.out_of_memory = box->out_of_memory();
    result.group_peak = box->peak();
    if (Status status = check_page_cache(spec.model, box->page_cache(), "after"); !status && result.error.empty()) {
      result.error = status.error().message;
    }
  }
  return result;
}

void tell(const Scenario& scenario, uint32_t round, const BenchOptions& options, const std::string& text) {
  fmt::print(stderr, "{} {}/{}  {}\n", scenario.name, round + 1, options.repeat, text);
}

std::string summary_of(const RunResult& run) {
  if (!run.error.empty()) {
    return "failed: " + run.error;
  }
  std::string text = fmt::format("first token {:.2f} s, prompt {:.4g} tok/s", run.first_token_seconds,
                                 run.prefill.tokens_per_second());
  if (run.decode.tokens > 0) {
    text += fmt::format(", decode {:.4g} tok/s, {:.1f} MB/token", run.decode.tokens_per_second(),
                        run.decode.bytes_per_token() / 1e6);
  }
  return text;
}

Result<RunResult> run_arm(const BenchOptions& options, const Abilities& abilities, const Arm& arm,
                          const ScenarioRuns& scenario, Readahead* readahead) {
  RunSpec spec = spec_of(scenario.scenario, options.tokens);
  spec.engine = arm.engine;
  spec.model = model_of(options, scenario.scenario).string();
  spec.memory = scenario.budget;
  spec.threads = options.threads;
  if (abilities.drop_caches) {
    if (Status status = drop_caches(); !status) {
      return propagate(status.error());
    }
    if (Status status = check_page_cache(spec.model, 0, "before"); !status) {
      return failed_run(status.error().message);
    }
  }
  if (readahead != nullptr && arm.readahead_kib) {
    if (Status status = readahead->set(*arm.readahead_kib); !status) {
      return propagate(status.error());
    }
  }
  touch_memory(scenario.limit > 0 ? scenario.limit : scenario.file_bytes);
  auto result = make_run(options, spec, scenario.limit);
  if (readahead != nullptr) {
    if (Status status = readahead->restore(); !status) {
      return propagate(status.error());
    }
  }
  return result;
}

// Keeps the faster of this probe and `best`: neighbours on the machine can only slow a probe down.
Status probe_again(const BenchOptions& options, const Scenario& scenario, DiskSpeed& best) {
  const auto speed = probe_disk(model_of(options, scenario), usual_patterns(), options.probe_seconds);
  if (!speed) {
    return propagate(speed.error());
  }
  if (speed->bytes_per_second > best.bytes_per_second) {
    best = *speed;
  }
  return {};
}

double best_rate(const ArmRuns& arm, Kind kind) {
  double best = 0;
  for (const RunResult* run : good_runs(arm)) {
    const PhaseCost& phase = kind == Kind::kPrefill ? run->prefill : run->decode;
    best = std::max(best, phase.tokens_per_second());
  }
  return best;
}

// Whether another readahead was faster for plain llama.cpp by more than runs of one arm ever differed: then this one is
// not its best, and since it takes minutes a run it is not repeated.
bool outdone(const ScenarioRuns& runs, const ArmRuns& arm) {
  return arm.arm.engine == "plain" && std::any_of(runs.arms.begin(), runs.arms.end(), [&](const ArmRuns& other) {
           const Kind kind = runs.scenario.kind;
           return other.arm.engine == "plain" && best_rate(other, kind) > 1.5 * best_rate(arm, kind);
         });
}

Status run_round(const BenchOptions& options, const Abilities& abilities, uint32_t round, ScenarioRuns& runs,
                 Readahead* readahead) {
  DiskSpeed disk;
  const bool probed = runs.scenario.kind == Kind::kDecode || runs.scenario.kind == Kind::kLoad;
  for (ArmRuns& arm : runs.arms) {
    if (round > 0 && outdone(runs, arm)) {
      continue;
    }
    const bool held_against_disk = probed && arm.arm.engine == "hypura";
    Status status = held_against_disk ? probe_again(options, runs.scenario, disk) : Status{};
    auto result = status.and_then([&] { return run_arm(options, abilities, arm.arm, runs, readahead); });
    if (!result) {
      return propagate(result.error());
    }
    tell(runs.scenario, round, options, arm.arm.title + ": " + summary_of(*result));
    arm.runs.push_back(std::move(*result));
    if (!held_against_disk) {
      continue;
    }
    if (status = probe_again(options, runs.scenario, disk); !status) {
      return status;
    }
    tell(runs.scenario, round, options,
         fmt::format("disk {:.0f} MB/s ({} x {})", disk.bytes_per_second / 1e6, disk.pattern.threads,
                     format_bytes(disk.pattern.block)));
    runs.disk.push_back(disk);
  }
  return {};
}

// Whether the readahead of the disk under `model` can be changed.
Status try_readahead(const std::filesystem::path& model) {
  auto readahead = Readahead::of(model);
  if (!readahead) {
    return propagate(readahead.error());
  }
  return readahead->set(readahead->own_kib() + 4);  // restored on return
}

}  // namespace

std::vector<const RunResult*> good_runs(const ArmRuns& arm) {
  std::vector<const RunResult*> good;
  for (const RunResult& run : arm.runs) {
    if (run.error.empty()) {
      good.push_back(&run);
    }
  }
  return good;
}

Abilities find_abilities(const BenchOptions& options) {
  Abilities abilities;
  const auto note = [&](const Error& error, const char* cost) {
    abilities.remarks.push_back(fmt::format("{}: {}", error.message, cost));
  };
  if (auto box = MemoryBox::create(box_name(), kGiB); box) {
    abilities.cgroups = true;
  } else {
    note(box.error(), "no run can be held to its budget, so comparisons within a budget say nothing");
  }
  if (Status status = drop_caches(); status) {
    abilities.drop_caches = true;
  } else {
    note(status.error(), "runs do not start with an empty page cache, so times of loading are not judged");
  }
  const std::filesystem::path& model = options.moe.empty() ? options.dense : options.moe;
  if (Status status = try_readahead(model); status) {
    abilities.readahead = true;
  } else {
    note(status.error(), "plain llama.cpp is measured with the disk's own readahead only");
  }
  return abilities;
}

Result<ScenarioRuns> run_scenario(const BenchOptions& options, const Abilities& abilities, const Scenario& scenario) {
  const std::filesystem::path& model = model_of(options, scenario);
  ScenarioRuns runs;
  runs.scenario = scenario;
  std::error_code error;
  runs.file_bytes = std::filesystem::file_size(model, error);
  if (error) {
    return fail(ErrorCode::kIo, "{}: {}", model.string(), error.message());
  }
  runs.budget = budget_of(scenario, runs.file_bytes);
  runs.limit = abilities.cgroups ? limit_of(runs.budget) : 0;
  std::optional<Readahead> readahead;
  if (abilities.readahead) {
    auto found = Readahead::of(model);
    if (!found) {
      return propagate(found.error());
    }
    readahead.emplace(std::move(*found));
  }
  Readahead* setting = readahead ? &*readahead : nullptr;
  for (Arm& arm : arms_of(scenario, setting)) {
    runs.arms.push_back({std::move(arm), {}});
  }
  for (uint32_t round = 0; round < options.repeat; ++round) {
    if (Status status = run_round(options, abilities, round, runs, setting); !status) {
      return propagate(status.error());
    }
  }
  return runs;
}

}  // namespace hypura::bench
