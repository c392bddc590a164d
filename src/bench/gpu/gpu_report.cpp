#include "bench/gpu/gpu_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/units.h"

namespace hypura::bench {

namespace {

using RunJson = nlohmann::ordered_json;
using Figure = double (*)(const RunResult&);

enum class Against { kSplits, kAllInVram };

bool is_against(const Arm& arm, Against against) {
  const bool split = arm.spec.gpu_layers >= 0 || arm.spec.cpu_expert_layers > 0;
  return arm.plain() && split == (against == Against::kSplits);
}

// Our median by the best of theirs.
std::optional<double> ratio_of(const GpuScenarioRuns& runs, Against against, Figure figure) {
  double best = 0;
  for (const ArmRuns& arm : runs.arms) {
    if (is_against(arm.arm, against)) {
      const auto spread = spread_over(arm, figure);
      best = std::max(best, spread ? spread->median : 0);
    }
  }
  const auto ours = spread_over(runs.arms.back(), figure);
  return best > 0 && ours ? std::optional(ours->median / best) : std::nullopt;
}

std::string spread_text(const ArmRuns& arm, Figure figure) {
  const auto spread = spread_over(arm, figure);
  return spread ? to_text(*spread) : "failed";
}

double most_vram(const RunResult& run) {
  return static_cast<double>(run.device_bytes);
}
double most_ram(const RunResult& run) {
  return static_cast<double>(run.process_peak);
}

std::string mebibytes(const ArmRuns& arm, Figure figure) {
  const auto spread = spread_over(arm, figure);
  return spread ? format_bytes(static_cast<uint64_t>(spread->high)) : "";
}

// In the last round: as of a model that has run here before.
std::string predicted_text(const ArmRuns& arm) {
  const auto good = good_runs(arm);
  const bool known = !good.empty() && good.back()->predicted.known;
  return known ? to_text(good.back()->predicted.decode_tokens_per_second) : "";
}

// Of the tokens chosen in the first runs, how many are those of the scenario's first arm: all are given the same words.
std::string same_choices(const ArmRuns& arm, const ArmRuns& first) {
  const auto ours = good_runs(arm);
  const auto theirs = good_runs(first);
  if (ours.empty() || theirs.empty() || &arm == &first) {
    return "";
  }
  const auto& tokens = ours.front()->chosen;
  const auto& others = theirs.front()->chosen;
  size_t same = 0;
  for (size_t i = 0; i < std::min(tokens.size(), others.size()); ++i) {
    same += tokens[i] == others[i] ? 1 : 0;
  }
  return fmt::format("{} of {}", same, tokens.size());
}

void add_rows(const GpuScenarioRuns& runs, std::string& text) {
  const uint64_t cap = vram_cap(runs.scenario, runs.model);
  for (const ArmRuns& arm : runs.arms) {
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", runs.scenario.name,
                        cap > 0 ? format_bytes(cap) : "none", arm.arm.title, spread_text(arm, decode_rate),
                        predicted_text(arm), spread_text(arm, prefill_rate), mebibytes(arm, most_vram),
                        mebibytes(arm, most_ram), same_choices(arm, runs.arms.front()));
  }
}

void add_verdicts(const GpuScenarioRuns& runs, std::string& text) {
  for (const GpuVerdict& verdict : verdicts_on(runs)) {
    text += fmt::format("| {} | {} | {} | {} | {} |\n", runs.scenario.name, verdict.what,
                        verdict.ratio ? fmt::format("{:.3f}", *verdict.ratio) : "n/a", verdict.target,
                        verdict.passed() ? "**pass**" : "**miss**");
  }
}

// What failed, a line each.
void add_failures(const GpuScenarioRuns& runs, std::string& text) {
  for (const ArmRuns& arm : runs.arms) {
    for (const RunResult& run : arm.runs) {
      text += run.error.empty() ? "" : fmt::format("- {}, {}: {}\n", runs.scenario.name, arm.arm.title, run.error);
    }
  }
}

RunJson scenario_json(const GpuScenarioRuns& runs) {
  RunJson arms = RunJson::array();
  for (const ArmRuns& arm : runs.arms) {
    RunJson its = RunJson::array();
    for (const RunResult& run : arm.runs) {
      its.push_back(RunJson::parse(to_json_line(run)));
      its.back().erase("chosen");
    }
    arms.push_back({{"title", arm.arm.title}, {"spec", RunJson::parse(to_json_line(arm.arm.spec))}, {"runs", its}});
  }
  RunJson verdicts = RunJson::array();
  for (const GpuVerdict& verdict : verdicts_on(runs)) {
    verdicts.push_back({{"what", verdict.what},
                        {"ratio", verdict.ratio ? RunJson(*verdict.ratio) : RunJson()},
                        {"at_least", verdict.target},
                        {"passed", verdict.passed()}});
  }
  return {{"name", runs.scenario.name},
          {"model", runs.model.path.filename().string()},
          {"vram_cap", vram_cap(runs.scenario, runs.model)},
          {"ram_budget", ram_budget(runs.scenario, runs.model)},
          {"arms", std::move(arms)},
          {"verdicts", std::move(verdicts)}};
}

}  // namespace

std::vector<GpuVerdict> verdicts_on(const GpuScenarioRuns& runs) {
  const GpuScenario& scenario = runs.scenario;
  const std::vector<GpuVerdict> all = {
      {"decode, by the best split", ratio_of(runs, Against::kSplits, decode_rate), scenario.decode_by_split},
      {"decode, by all in VRAM", ratio_of(runs, Against::kAllInVram, decode_rate), scenario.decode_by_all},
      {"prompt, by all in VRAM", ratio_of(runs, Against::kAllInVram, prefill_rate), scenario.prompt_by_all}};
  std::vector<GpuVerdict> asked;
  std::copy_if(all.begin(), all.end(), std::back_inserter(asked), [](const GpuVerdict& it) { return it.target > 0; });
  return asked;
}

std::string gpu_markdown(const GpuReport& report) {
  std::string text =
      fmt::format("# On {}\n\nMedian (lowest..highest), tokens/s; most bytes of any run.\n\n", report.device);
  text +=
      "| scenario | VRAM cap | engine | decode | predicted | prompt | VRAM | RAM | choices the same "
      "|\n|---|---|---|---|---|---|---|---|---|\n";
  for (const GpuScenarioRuns& runs : report.scenarios) {
    add_rows(runs, text);
  }
  text += "\n| scenario | ratio | measured | at least | |\n|---|---|---|---|---|\n";
  for (const GpuScenarioRuns& runs : report.scenarios) {
    add_verdicts(runs, text);
  }
  text += "\n";
  for (const GpuScenarioRuns& runs : report.scenarios) {
    add_failures(runs, text);
  }
  return text;
}

std::string gpu_json(const GpuReport& report) {
  RunJson scenarios = RunJson::array();
  for (const GpuScenarioRuns& runs : report.scenarios) {
    scenarios.push_back(scenario_json(runs));
  }
  return RunJson{{"device", report.device}, {"cores", report.machine.cores}, {"scenarios", std::move(scenarios)}}.dump(
             2) +
         "\n";
}

}  // namespace hypura::bench
