#include <fmt/format.h>

#include <algorithm>

#include "bench/scenarios/report.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

std::string megabytes(const Spread& spread) {
  return to_text(Spread{spread.median / 1e6, spread.low / 1e6, spread.high / 1e6});
}

template <class T>
std::string or_missing(const std::optional<T>& value) {
  return value ? to_text(*value) : "n/a";
}

std::string verdict_text(const Verdict& verdict) {
  const char* outcome = !verdict.evaluated ? "not evaluated" : verdict.passed() ? "**pass**" : "**miss**";
  return fmt::format("{} {}: {}", verdict.at_least ? "≥" : "≤", to_text(verdict.target), outcome);
}

// The verdict on `what`, or "" where there is no target.
std::string verdict_on(const Evaluation& evaluation, const std::string& what) {
  for (const Verdict& verdict : evaluation.verdicts) {
    if (verdict.what == what) {
      return verdict_text(verdict);
    }
  }
  return "";
}

std::string memory_text(const ScenarioRuns& runs) {
  return runs.budget == 0 ? "no limit"
                          : fmt::format("{} ({:.0f} %)", format_bytes(runs.budget), runs.scenario.share * 100);
}

// The speed of the plain arm with the disk's own readahead, or of the one with another; nullptr when there was none.
const std::optional<Spread>* plain_speed(const Evaluation& evaluation, const Comparison& comparison,
                                         bool own_readahead) {
  for (size_t i = 0; i < comparison.arms.size(); ++i) {
    const Arm& arm = evaluation.runs.arms[i].arm;
    if (arm.plain() && arm.readahead_kib.has_value() != own_readahead) {
      return &comparison.arms[i];
    }
  }
  return nullptr;
}

void add_speeds(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    for (const Comparison& comparison : evaluation.comparisons) {
      const auto cell = [&](bool own) {
        const std::optional<Spread>* speed = plain_speed(evaluation, comparison, own);
        return speed == nullptr ? std::string("not run") : or_missing(*speed);
      };
      rows += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", evaluation.runs.scenario.name, comparison.what,
                          memory_text(evaluation.runs), cell(true), cell(false), or_missing(comparison.arms.back()),
                          or_missing(comparison.ratio), verdict_on(evaluation, comparison.what + ", x plain"));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Speed, tokens/s\n\nMedian (lowest..highest).\n\n"
        "| scenario | what | budget | plain, own readahead | plain, 128 KiB readahead | hypura | x best plain | target "
        "|\n"
        "|---|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

void add_bounds(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    if (const auto& bound = evaluation.bound; bound) {
      rows += fmt::format("| {} | {} | {} | {} | {} | {:.2f} | {} |\n", evaluation.runs.scenario.name,
                          megabytes(bound->disk_bytes_per_second), megabytes(bound->bytes_per_token),
                          to_text(bound->tokens_per_second), bound->by_compute ? "computing" : "disk", bound->share,
                          verdict_on(evaluation, "share of bound"));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Against the physical bound\n\n"
        "| scenario | disk, MB/s | hypura reads, MB/token | bound, tokens/s | set by | share of it | target |\n"
        "|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

void add_overlaps(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    if (const auto& overlap = evaluation.overlap; overlap) {
      rows += fmt::format("| {} | {} | {} | {} | {:.2f} | {} |\n", evaluation.runs.scenario.name,
                          to_text(overlap->reading), to_text(overlap->computing), to_text(overlap->taken),
                          overlap->share, verdict_on(evaluation, "longer of reading and computing, share of the time"));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Reading and computing of prompts\n\nSeconds. Reading: the bytes by the disk's speed alone; computing: as "
        "counted in the runs, beside reading.\n\n"
        "| scenario | reading | computing | taken | the longer by what was taken | target |\n"
        "|---|---|---|---|---|---|\n" +
        rows;
  }
}

void add_loads(const Report& report, std::string& text) {
  for (const Evaluation& evaluation : report.evaluations) {
    if (const auto& load = evaluation.load; load) {
      text += fmt::format(
          "\n## Load\n\nFirst token after {} s; the disk needs {} s for the {} that stay in memory. "
          "Target ({} x that + {} s): {}\n",
          to_text(load->first_token_seconds), to_text(load->disk_seconds),
          format_bytes(static_cast<uint64_t>(load->resident_bytes)), kLoadFactor, kLoadExtraSeconds,
          verdict_on(evaluation, "seconds to first token"));
    }
  }
}

std::string signed_percent(double share) {
  return fmt::format("{:+.1f} %", 100 * share);
}

void add_predictions(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    const ScenarioRuns& runs = evaluation.runs;
    if (const auto& told = evaluation.prediction; told) {
      rows += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", runs.scenario.name,
                          memory_text(runs), to_text(told->first_speed), to_text(told->predicted_speed),
                          to_text(told->measured_speed), signed_percent(told->speed_error),
                          verdict_on(evaluation, "speed predicted, % off"), to_text(told->predicted_peak / 1e6),
                          megabytes(told->measured_peak), signed_percent(told->peak_error),
                          verdict_on(evaluation, "peak predicted, % off"));
    } else if (runs.scenario.is_predicted()) {
      rows += fmt::format("| {} | {} | n/a | n/a | n/a | n/a | | n/a | n/a | n/a | |\n", runs.scenario.name,
                          memory_text(runs));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Prediction against measurement\n\nTokens/s of decoding, or of a prompt of 512; peak of the process in "
        "MB; the error is a share of "
        "what was measured. The error is that of the last round's prediction, which is calibrated by those before.\n\n"
        "| scenario | budget | predicted at first | and at last | measured | error | target | predicted peak | "
        "measured peak | error | target |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

// The cells of a row of gains, but for the scenario's name.
std::string gain_cells(const Evaluation& evaluation) {
  const Gain& gain = *evaluation.gain;
  const auto& arms = evaluation.runs.arms;
  return fmt::format("{} | {} | {}: {} | {}: {} | {:.3f} | {}", memory_text(evaluation.runs), gain.what,
                     arms.front().arm.title, to_text(gain.first), arms.back().arm.title, to_text(gain.last), gain.ratio,
                     verdict_on(evaluation, gain.what));
}

void add_servings(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    if (evaluation.gain && evaluation.runs.scenario.kind != Kind::kDraft) {
      rows += fmt::format("| {} | {} |\n", evaluation.runs.scenario.name, gain_cells(evaluation));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Generator\n\n"
        "| scenario | budget | what | first | second | second by first | target |\n"
        "|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

void add_drafts(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    if (evaluation.gain && evaluation.runs.scenario.kind == Kind::kDraft) {
      const DraftCount drafts = drafts_of(evaluation.runs.arms.back());
      rows += fmt::format("| {} | {} | {} |\n", evaluation.runs.scenario.name, gain_cells(evaluation),
                          drafts.drafted == 0 ? "none made" : to_text(drafts));
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## Drafts\n\nThe arms may count different numbers of tokens: rates are compared. Drafts are those of all "
        "rounds.\n\n"
        "| scenario | budget | what | first | second | second by first | target | drafts accepted |\n"
        "|---|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

void add_sweeps(const Report& report, std::string& text) {
  std::string rows;
  for (const Evaluation& evaluation : report.evaluations) {
    if (const auto& sweep = evaluation.sweep; sweep) {
      rows += fmt::format("| {} | {} | {} | {} | {} | {:.3f} | {} | {} | {} |\n", evaluation.runs.scenario.name,
                          memory_text(evaluation.runs), to_text(sweep->automatic_speed), sweep->best,
                          to_text(sweep->best_speed), sweep->share,
                          verdict_on(evaluation, "share of the best hand-set plan"), sweep->same, sweep->impossible);
    }
  }
  if (!rows.empty()) {
    text +=
        "\n## The automatic plan against plans set by hand\n\n"
        "Tokens/s: one token read, of a prompt of 512, and one made, together; this is what a plan is chosen for.\n\n"
        "| scenario | budget | automatic, tokens/s | best by hand | its tokens/s | share | target | the same plan | "
        "did not fit |\n"
        "|---|---|---|---|---|---|---|---|---|\n" +
        rows;
  }
}

// Median of a quantity over the good runs, formatted by the caller; "n/a" when there is none.
template <class Function>
std::string median_of(const ArmRuns& arm, Function value) {
  std::vector<double> values;
  for (const RunResult* run : good_runs(arm)) {
    values.push_back(value(*run));
  }
  const auto spread = spread_of(std::move(values));
  return spread ? to_text(spread->median) : "n/a";
}

std::string hit_rate(const ArmRuns& arm) {
  const auto good = good_runs(arm);
  const bool counted =
      std::any_of(good.begin(), good.end(), [](const RunResult* run) { return run->expert_lookups > 0; });
  return counted ? median_of(arm,
                             [](const RunResult& run) {
                               return 100.0 * static_cast<double>(run.expert_hits) /
                                      static_cast<double>(std::max<uint64_t>(run.expert_lookups, 1));
                             }) +
                       " %"
                 : "";
}

// Whether hypura chose the same tokens as plain llama.cpp did in the same round.
std::string same_tokens(const Evaluation& evaluation, const ArmRuns& arm) {
  const ArmRuns& plain = evaluation.runs.arms.front();
  if (arm.arm.plain() || !plain.arm.plain()) {
    return "";
  }
  size_t same = 0;
  size_t compared = 0;
  for (size_t i = 0; i < std::min(arm.runs.size(), plain.runs.size()); ++i) {
    if (arm.runs[i].error.empty() && plain.runs[i].error.empty()) {
      ++compared;
      same += arm.runs[i].chosen == plain.runs[i].chosen ? 1 : 0;
    }
  }
  return compared == 0 ? "n/a" : fmt::format("{} of {}", same, compared);
}

void add_details(const Report& report, std::string& text) {
  text +=
      "\n## Runs\n\nMedians. Bytes as the kernel counted them for the process; peak and limit are the cgroup's, page "
      "cache included.\n\n"
      "| scenario | arm | load, s | first token, s | loading read, MB | prompt read, MB | MB/token | experts hit | "
      "I/O wait, s | peak, MB | limit, MB | tokens as plain |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const Evaluation& evaluation : report.evaluations) {
    for (const ArmRuns& arm : evaluation.runs.arms) {
      const auto median = [&](auto value) { return median_of(arm, value); };
      const bool ours = !arm.arm.plain();
      const bool capped = evaluation.runs.limit > 0;
      text += fmt::format(
          "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", evaluation.runs.scenario.name,
          arm.arm.title, median([](const RunResult& run) { return run.load.seconds; }),
          median([](const RunResult& run) { return run.first_token_seconds; }),
          median([](const RunResult& run) { return static_cast<double>(run.load.bytes) / 1e6; }),
          median([](const RunResult& run) { return static_cast<double>(run.prefill.bytes) / 1e6; }),
          median([](const RunResult& run) { return run.decode.bytes_per_token() / 1e6; }), ours ? hit_rate(arm) : "",
          ours ? median([](const RunResult& run) { return run.io_wait_seconds; }) : "",
          median([&](const RunResult& run) {
            return static_cast<double>(capped ? run.group_peak : run.process_peak) / 1e6;
          }),
          capped ? to_text(static_cast<double>(evaluation.runs.limit) / 1e6) : "none", same_tokens(evaluation, arm));
    }
  }
}

void add_plans_and_failures(const Report& report, std::string& text) {
  std::string failures;
  text += "\n## Plans\n\n";
  for (const Evaluation& evaluation : report.evaluations) {
    for (const ArmRuns& arm : evaluation.runs.arms) {
      for (size_t i = 0; i < arm.runs.size(); ++i) {
        if (!arm.runs[i].error.empty()) {
          failures += fmt::format("- {}, {}, round {}: {}\n", evaluation.runs.scenario.name, arm.arm.title, i + 1,
                                  arm.runs[i].error);
        }
      }
    }
    if (const auto good = good_runs(hypura_arm(evaluation.runs)); !good.empty()) {
      text += fmt::format("- {}: {}: {}\n", evaluation.runs.scenario.name, good.front()->mode, good.front()->plan);
    }
  }
  if (!failures.empty()) {
    text += "\n## Runs that failed\n\n" + failures;
  }
}

}  // namespace

std::vector<std::string> remarks_on(const Capabilities& capabilities) {
  std::vector<std::string> remarks;
  const auto note = [&](bool able, const std::string& reason, const char* cost) {
    if (!able) {
      remarks.push_back(fmt::format("{}: {}", reason, cost));
    }
  };
  note(capabilities.cgroups, capabilities.no_cgroups,
       "no run can be held to its budget, so comparisons within a budget say nothing");
  note(capabilities.drop_caches, capabilities.no_drop_caches,
       "runs do not start with an empty page cache, so times of loading are not evaluated");
  note(capabilities.readahead, capabilities.no_readahead,
       "plain llama.cpp is measured with the disk's own readahead only");
  return remarks;
}

std::string markdown_report(const Report& report) {
  const MachineFacts& machine = report.machine;
  std::string text = fmt::format(
      "# hypura-bench {}\n\n{}, {} cores used, {} memory, {}; load average {:.2f} before the first run. {} rounds, {} "
      "tokens decoded and counted a run.\n",
      HYPURA_VERSION, machine.processor, report.options.threads, format_bytes(machine.memory), machine.kernel,
      machine.load_average, report.options.repeat, report.options.tokens);
  for (const std::string& remark : remarks_on(report.capabilities)) {
    text += fmt::format("\nMissing: {}.\n", remark);
  }
  add_speeds(report, text);
  add_bounds(report, text);
  add_overlaps(report, text);
  add_loads(report, text);
  add_predictions(report, text);
  add_servings(report, text);
  add_drafts(report, text);
  add_sweeps(report, text);
  add_details(report, text);
  add_plans_and_failures(report, text);
  return text;
}

}  // namespace hypura::bench
