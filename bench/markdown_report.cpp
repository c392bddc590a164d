#include <algorithm>

#include "bench/report.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

std::string number(double value) {
  return fmt::format("{:.{}f}", value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

std::string number(const Spread& spread) {
  return fmt::format("{} ({}..{})", number(spread.median), number(spread.low), number(spread.high));
}

std::string megabytes(const Spread& spread) {
  return number(Spread{spread.median / 1e6, spread.low / 1e6, spread.high / 1e6});
}

template <class T>
std::string or_missing(const std::optional<T>& value) {
  return value ? number(*value) : "n/a";
}

std::string verdict_text(const Verdict& verdict) {
  const char* outcome = !verdict.judged ? "not judged" : verdict.passed() ? "**pass**" : "**miss**";
  return fmt::format("{} {}: {}", verdict.at_least ? "≥" : "≤", number(verdict.target), outcome);
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
    if (arm.engine == "plain" && arm.readahead_kib.has_value() != own_readahead) {
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
                          number(bound->tokens_per_second), bound->by_compute ? "computing" : "disk", bound->share,
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

void add_loads(const Report& report, std::string& text) {
  for (const Evaluation& evaluation : report.evaluations) {
    if (const auto& load = evaluation.load; load) {
      text += fmt::format(
          "\n## Load\n\nFirst token after {} s; the disk needs {} s for the {} that stay in memory. "
          "Target ({} x that + {} s): {}\n",
          number(load->first_token_seconds), number(load->disk_seconds),
          format_bytes(static_cast<uint64_t>(load->resident_bytes)), kLoadFactor, kLoadExtraSeconds,
          verdict_on(evaluation, "seconds to first token"));
    }
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
  return spread ? number(spread->median) : "n/a";
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
  if (arm.arm.engine != "hypura" || plain.arm.engine != "plain") {
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
      const bool ours = arm.arm.engine == "hypura";
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
          capped ? number(static_cast<double>(evaluation.runs.limit) / 1e6) : "none", same_tokens(evaluation, arm));
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
    if (const auto good = good_runs(evaluation.runs.arms.back()); !good.empty()) {
      text += fmt::format("- {}: {}: {}\n", evaluation.runs.scenario.name, good.front()->mode, good.front()->plan);
    }
  }
  if (!failures.empty()) {
    text += "\n## Runs that failed\n\n" + failures;
  }
}

}  // namespace

std::string markdown_report(const Report& report) {
  const MachineFacts& machine = report.machine;
  std::string text = fmt::format(
      "# hypura-bench {}\n\n{}, {} cores used, {} memory, {}; load average {:.2f} before the first run. {} rounds, {} "
      "tokens decoded and counted a run.\n",
      HYPURA_VERSION, machine.processor, report.options.threads, format_bytes(machine.memory), machine.kernel,
      machine.load_average, report.options.repeat, report.options.tokens);
  for (const std::string& remark : report.abilities.remarks) {
    text += fmt::format("\nMissing: {}.\n", remark);
  }
  add_speeds(report, text);
  add_bounds(report, text);
  add_loads(report, text);
  add_details(report, text);
  add_plans_and_failures(report, text);
  return text;
}

}  // namespace hypura::bench
