#include "bench/rounds.h"

#include <algorithm>

#include "bench/one_run.h"
#include "bench/run/plain_splits.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

double best_rate(const ArmRuns& arm, bool prefill) {
  double best = 0;
  for (const RunResult* run : good_runs(arm)) {
    best = std::max(best, prefill ? prefill_rate(*run) : decode_rate(*run));
  }
  return best;
}

bool same_split(const RunSpec& a, const RunSpec& b) {
  return a.gpu == b.gpu && a.gpu_layers == b.gpu_layers && a.cpu_expert_layers == b.cpu_expert_layers;
}

// Whether there is no use in another run of a plain arm that takes minutes: it is slower than hypura by `far_slower`,
// or than plain llama.cpp with another readahead by more than runs of one arm ever differed, so that it is not its
// best.
bool outdone(const RoundsOptions& options, const std::vector<ArmRuns>& arms, const ArmRuns& arm) {
  const double rate = best_rate(arm, options.compare_prefill);
  return arm.arm.plain() && std::any_of(arms.begin(), arms.end(), [&](const ArmRuns& other) {
           const double factor = other.arm.plain() ? 1.5 : options.far_slower;
           return factor > 0 && (!other.arm.plain() || same_split(other.arm.spec, arm.arm.spec)) &&
                  best_rate(other, options.compare_prefill) > factor * rate;
         });
}

// The largest of the model's files.
const std::filesystem::path& probed_file(const std::vector<std::filesystem::path>& files) {
  const auto size = [](const std::filesystem::path& file) {
    std::error_code ignored;
    const uintmax_t bytes = std::filesystem::file_size(file, ignored);
    return ignored ? 0 : bytes;
  };
  return *std::max_element(files.begin(), files.end(), [&](const auto& a, const auto& b) { return size(a) < size(b); });
}

// Keeps the faster of this probe and `best`: neighbours on the machine can only slow a probe down.
Status probe_again(const RoundsOptions& options, ProbedSpeed& best) {
  const auto speed = probe_disk(probed_file(options.files), usual_patterns(), options.probe_seconds);
  if (!speed) {
    return propagate(speed.error());
  }
  if (speed->bytes_per_second > best.bytes_per_second) {
    best = *speed;
  }
  return {};
}

Status run_arm(const RoundsOptions& options, uint32_t round, ArmRuns& arm) {
  Arm its = arm.arm;
  its.spec.text = round;
  auto result = make_one_run(options, its);
  if (!result) {
    return propagate(result.error());
  }
  if (options.check) {
    if (Status status = options.check(its, *result); !status) {
      return status;
    }
  }
  if (options.tell) {
    options.tell(round, arm.arm.title + ": " + summary_of(*result));
  }
  arm.runs.push_back(std::move(*result));
  return {};
}

// Hypura's run between two probes of the disk that it reads from.
Status run_probed(const RoundsOptions& options, uint32_t round, ArmRuns& arm, std::vector<ProbedSpeed>& disk) {
  ProbedSpeed speed;
  Status status = probe_again(options, speed).and_then([&] { return run_arm(options, round, arm); }).and_then([&] {
    return probe_again(options, speed);
  });
  if (!status) {
    return status;
  }
  if (options.tell) {
    options.tell(round, fmt::format("disk {:.0f} MB/s ({} x {})", speed.bytes_per_second / 1e6, speed.pattern.threads,
                                    format_bytes(speed.pattern.block)));
  }
  disk.push_back(speed);
  return {};
}

Status run_round(const RoundsOptions& options, uint32_t round, Rounds& rounds) {
  bool probed = options.probe_seconds <= 0;
  for (ArmRuns& arm : rounds.arms) {
    if (round > 0 && outdone(options, rounds.arms, arm)) {
      continue;
    }
    const bool probe = !probed && !arm.arm.plain();
    Status status = probe ? run_probed(options, round, arm, rounds.disk) : run_arm(options, round, arm);
    if (!status) {
      return status;
    }
    probed = probed || probe;
  }
  return {};
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

DraftCount drafts_of(const ArmRuns& arm) {
  DraftCount count;
  for (const RunResult* run : good_runs(arm)) {
    count.drafted += run->drafted_tokens;
    count.accepted += run->accepted_draft_tokens;
  }
  return count;
}

std::string to_text(const DraftCount& count) {
  return fmt::format("{} of {}", count.accepted, count.drafted);
}

std::vector<Arm> plain_arms(RunSpec spec, const Readahead* readahead, const PlainSplits& splits) {
  spec.engine = "plain";
  spec.gpu = "none";
  spec.draft.clear();
  spec.draft_ngrams = false;
  spec.mirrors.clear();
  spec.workers.clear();
  std::vector<std::pair<std::string, RunSpec>> divided;
  for (const PlainSplit& split : splits.splits) {
    divided.emplace_back("plain, " + split.flags, split_spec(spec, splits, split));
  }
  if (divided.empty()) {
    divided.emplace_back("plain", spec);
  }
  const std::string own = readahead == nullptr ? "" : fmt::format(", {} KiB readahead", readahead->own_kib());
  std::vector<Arm> arms;
  for (const auto& [title, its] : divided) {
    arms.push_back({title + own, its});
    if (readahead != nullptr && readahead->own_kib() != kCommonReadaheadKib) {
      arms.push_back({fmt::format("{}, {} KiB readahead", title, kCommonReadaheadKib), its, kCommonReadaheadKib});
    }
  }
  return arms;
}

uint64_t limit_of(uint64_t budget) {
  return budget == 0 ? 0 : budget + std::max(budget / 20, 64 * kMiB);
}

Result<Rounds> run_rounds(const RoundsOptions& options, std::vector<Arm> arms) {
  Rounds rounds;
  for (Arm& arm : arms) {
    rounds.arms.push_back({std::move(arm), {}});
  }
  for (uint32_t round = 0; round < options.repeat; ++round) {
    if (Status status = run_round(options, round, rounds); !status) {
      return propagate(status.error());
    }
  }
  return rounds;
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
  if (run.drafted_tokens > 0) {
    text += ", drafts accepted: " + to_text(DraftCount{run.drafted_tokens, run.accepted_draft_tokens});
  }
  return text;
}

}  // namespace hypura
