#include "bench/evaluation.h"

#include <algorithm>

namespace hypura::bench {

namespace {

const ArmRuns& hypura_arm(const ScenarioRuns& runs) {
  return runs.arms.back();
}

double decode_rate(const RunResult& run) {
  return run.decode.tokens_per_second();
}
double prefill_rate(const RunResult& run) {
  return run.prefill.tokens_per_second();
}

template <class Function>
std::optional<Spread> spread_over(const ArmRuns& arm, Function value) {
  std::vector<double> values;
  for (const RunResult* run : good_runs(arm)) {
    values.push_back(value(*run));
  }
  return spread_of(std::move(values));
}

template <class Function>
Comparison compare(const ScenarioRuns& runs, const char* what, Function value) {
  Comparison comparison;
  comparison.what = what;
  double best_plain = 0;
  for (const ArmRuns& arm : runs.arms) {
    comparison.arms.push_back(spread_over(arm, value));
    if (arm.arm.engine == "plain" && comparison.arms.back()) {
      best_plain = std::max(best_plain, comparison.arms.back()->median);
    }
  }
  const std::optional<Spread>& ours = comparison.arms.back();
  if (ours && best_plain > 0) {
    comparison.ratio = ours->median / best_plain;
  }
  return comparison;
}

std::vector<Comparison> compare_all(const ScenarioRuns& runs) {
  std::vector<Comparison> comparisons;
  if (runs.scenario.kind == Kind::kDecode || runs.scenario.kind == Kind::kResident) {
    comparisons.push_back(compare(runs, "decode", decode_rate));
  }
  if (runs.scenario.kind == Kind::kPrefill || runs.scenario.kind == Kind::kResident) {
    comparisons.push_back(compare(runs, "prefill", prefill_rate));
  }
  return comparisons;
}

Spread disk_spread(const ScenarioRuns& runs) {
  std::vector<double> values;
  for (const DiskSpeed& speed : runs.disk) {
    values.push_back(speed.bytes_per_second);
  }
  return spread_of(std::move(values)).value_or(Spread{});
}

// Each round is held against the disk as it was in that round: the noise of a shared machine falls out.
std::optional<Bound> bound_of(const ScenarioRuns& runs, std::optional<double> compute_only) {
  std::vector<double> possible;
  std::vector<double> shares;
  const std::vector<RunResult>& ours = hypura_arm(runs).runs;
  for (size_t i = 0; i < std::min(ours.size(), runs.disk.size()); ++i) {
    const double bytes = ours[i].decode.bytes_per_token();
    if (!ours[i].error.empty() || bytes <= 0) {
      continue;
    }
    const double by_disk = runs.disk[i].bytes_per_second / bytes;
    possible.push_back(runs.scenario.moe ? std::min(by_disk, compute_only.value_or(by_disk)) : by_disk);
    shares.push_back(decode_rate(ours[i]) / possible.back());
  }
  const auto bytes = spread_over(hypura_arm(runs), [](const RunResult& run) { return run.decode.bytes_per_token(); });
  if (runs.scenario.kind != Kind::kDecode || possible.empty() || !bytes) {
    return std::nullopt;
  }
  const double tokens_per_second = spread_of(possible)->median;
  return Bound{disk_spread(runs), *bytes, tokens_per_second, spread_of(shares)->median,
               runs.scenario.moe && compute_only && tokens_per_second >= *compute_only};
}

std::optional<LoadTime> load_of(const ScenarioRuns& runs) {
  const ArmRuns& arm = hypura_arm(runs);
  const auto seconds = spread_over(arm, [](const RunResult& run) { return run.first_token_seconds; });
  const auto resident = spread_over(arm, [](const RunResult& run) { return static_cast<double>(run.resident_bytes); });
  const double disk = disk_spread(runs).median;
  if (runs.scenario.kind != Kind::kLoad || !seconds || resident->median <= 0 || disk <= 0) {
    return std::nullopt;
  }
  return LoadTime{*seconds, resident->median, resident->median / disk};
}

bool all_good(const ArmRuns& arm) {
  return good_runs(arm).size() == arm.runs.size();
}

std::vector<Verdict> judge(const Evaluation& evaluation, const Abilities& abilities) {
  const Scenario& scenario = evaluation.runs.scenario;
  const bool complete = all_good(hypura_arm(evaluation.runs));
  const bool capped = scenario.share == 0 || abilities.cgroups;
  std::vector<Verdict> verdicts;
  for (const Comparison& comparison : evaluation.comparisons) {
    if (scenario.ratio_target > 0) {
      verdicts.push_back({comparison.what + ", x plain", complete ? comparison.ratio : std::nullopt,
                          scenario.ratio_target, true, capped});
    }
  }
  if (scenario.bound_target > 0) {
    const auto share = evaluation.bound && complete ? std::optional(evaluation.bound->share) : std::nullopt;
    verdicts.push_back({"share of bound", share, scenario.bound_target, true, true});
  }
  if (scenario.kind == Kind::kLoad) {
    const auto& load = evaluation.load;
    verdicts.push_back(
        {"seconds to first token", load && complete ? std::optional(load->first_token_seconds.median) : std::nullopt,
         kLoadFactor * (load ? load->disk_seconds : 0) + kLoadExtraSeconds, false, abilities.drop_caches});
  }
  return verdicts;
}

}  // namespace

std::optional<double> decode_speed(const ScenarioRuns& runs) {
  const auto spread = spread_over(hypura_arm(runs), decode_rate);
  return spread && spread->median > 0 ? std::optional(spread->median) : std::nullopt;
}

Evaluation evaluate(ScenarioRuns runs, std::optional<double> compute_only, const Abilities& abilities) {
  Evaluation evaluation;
  evaluation.comparisons = compare_all(runs);
  evaluation.bound = bound_of(runs, compute_only);
  evaluation.load = load_of(runs);
  evaluation.runs = std::move(runs);
  evaluation.verdicts = judge(evaluation, abilities);
  return evaluation;
}

}  // namespace hypura::bench
