#include "bench/scenarios/evaluation.h"

#include <algorithm>
#include <cmath>

namespace hypura::bench {

namespace {

template <class Function>
Comparison compare(const ScenarioRuns& runs, const char* what, Function value) {
  Comparison comparison;
  comparison.what = what;
  double best_plain = 0;
  for (const ArmRuns& arm : runs.arms) {
    comparison.arms.push_back(spread_over(arm, value));
    if (arm.arm.plain() && comparison.arms.back()) {
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
  for (const ProbedSpeed& speed : runs.disk) {
    values.push_back(speed.bytes_per_second);
  }
  return spread_of(std::move(values)).value_or(Spread{});
}

// What is bounded: the prompt, or the tokens made.
const PhaseCost& bounded_phase(const Scenario& scenario, const RunResult& run) {
  return scenario.kind == Kind::kPrefill ? run.prefill : run.decode;
}

// Tokens/s that computing allows; none where the disk is always the tighter limit.
std::optional<double> compute_limit(const Scenario& scenario, const ResidentSpeed& resident) {
  if (scenario.kind == Kind::kPrefill) {
    return resident.prefill;
  }
  return scenario.model == ModelKind::kMoe ? resident.decode : std::nullopt;
}

// Each round is held against the disk as it was in that round: the noise of a shared machine falls out.
std::optional<Bound> bound_of(const ScenarioRuns& runs, const ResidentSpeed& resident) {
  const Scenario& scenario = runs.scenario;
  const std::optional<double> compute_only = compute_limit(scenario, resident);
  std::vector<double> possible;
  std::vector<double> shares;
  const std::vector<RunResult>& ours = hypura_arm(runs).runs;
  for (size_t i = 0; i < std::min(ours.size(), runs.disk.size()); ++i) {
    const PhaseCost& phase = bounded_phase(scenario, ours[i]);
    const double bytes = phase.bytes_per_token();
    if (!ours[i].error.empty() || bytes <= 0) {
      continue;
    }
    const double by_disk = runs.disk[i].bytes_per_second / bytes;
    possible.push_back(std::min(by_disk, compute_only.value_or(by_disk)));
    shares.push_back(phase.tokens_per_second() / possible.back());
  }
  const auto bytes = spread_over(hypura_arm(runs),
                                 [&](const RunResult& run) { return bounded_phase(scenario, run).bytes_per_token(); });
  if (!scenario.has_bound() || possible.empty() || !bytes) {
    return std::nullopt;
  }
  const double tokens_per_second = spread_of(possible)->median;
  return Bound{disk_spread(runs), *bytes, tokens_per_second, spread_of(shares)->median,
               compute_only && tokens_per_second >= *compute_only};
}

std::optional<Overlap> overlap_of(const ScenarioRuns& runs) {
  const std::vector<RunResult>& ours = hypura_arm(runs).runs;
  std::vector<double> reading;
  std::vector<double> computing;
  std::vector<double> taken;
  std::vector<double> shares;
  for (size_t i = 0; i < std::min(ours.size(), runs.disk.size()); ++i) {
    const PhaseCost& prompt = ours[i].prefill;
    if (!ours[i].error.empty() || prompt.seconds <= 0 || runs.disk[i].bytes_per_second <= 0) {
      continue;
    }
    reading.push_back(static_cast<double>(prompt.bytes) / runs.disk[i].bytes_per_second);
    computing.push_back(prompt.split.streamed + prompt.split.other);
    taken.push_back(prompt.seconds);
    shares.push_back(std::max(reading.back(), computing.back()) / prompt.seconds);
  }
  if (runs.scenario.special != Special::kShape || runs.scenario.kind != Kind::kPrefill || shares.empty()) {
    return std::nullopt;
  }
  return Overlap{spread_of(reading)->median, spread_of(computing)->median, spread_of(taken)->median,
                 spread_of(shares)->median};
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

// How far `said` is from `measured`, as a share of `measured`.
double error_of(double said, double measured) {
  return measured > 0 ? said / measured - 1 : 0;
}

std::optional<PredictionCheck> check_prediction(const ScenarioRuns& runs) {
  const ArmRuns& arm = hypura_arm(runs);
  const auto good = good_runs(arm);
  if (!runs.scenario.is_predicted() || good.empty() || !good.front()->predicted.known) {
    return std::nullopt;
  }
  const bool prompt = runs.scenario.kind == Kind::kPrefill;
  const auto said = [prompt](const RunResult& run) {
    return prompt ? 512 / run.predicted.prefill512_seconds : run.predicted.decode_tokens_per_second;
  };
  const auto over = [&arm](auto value) { return *spread_over(arm, value); };
  PredictionCheck prediction;
  prediction.first_speed = said(*good.front());
  prediction.predicted_speed = said(*good.back());
  prediction.measured_speed = prompt ? over(prefill_rate) : over(decode_rate);
  prediction.speed_error = error_of(prediction.predicted_speed, prediction.measured_speed.median);
  prediction.predicted_peak =
      over([](const RunResult& run) { return static_cast<double>(run.predicted.memory_peak); }).median;
  prediction.measured_peak = over([](const RunResult& run) { return static_cast<double>(run.process_peak); });
  prediction.peak_error = error_of(prediction.predicted_peak, prediction.measured_peak.median);
  return prediction;
}

std::optional<SweepResult> sweep_of(const ScenarioRuns& runs) {
  const std::vector<const RunResult*> ours = good_runs(hypura_arm(runs));
  if (runs.scenario.kind != Kind::kSweep || ours.empty()) {
    return std::nullopt;
  }
  SweepResult sweep;
  ArmRuns automatic = hypura_arm(runs);
  for (size_t i = 1; i < runs.arms.size(); ++i) {
    const ArmRuns& arm = runs.arms[i];
    const std::vector<const RunResult*> good = good_runs(arm);
    sweep.impossible += good.empty() ? 1 : 0;
    // A choice by hand that the plan makes as well is no other plan: to hold it against the plan's own runs, and the
    // best of many, would measure the noise.
    if (!good.empty() && !good.front()->plan_key.empty() && good.front()->plan_key == ours.front()->plan_key) {
      automatic.runs.insert(automatic.runs.end(), arm.runs.begin(), arm.runs.end());
      ++sweep.same;
      continue;
    }
    const auto speed = spread_over(arm, both_rate);
    if (speed && speed->median > sweep.best_speed) {
      sweep.best = runs.arms[i].arm.title;
      sweep.best_speed = speed->median;
    }
  }
  sweep.automatic_speed = spread_over(automatic, both_rate)->median;
  sweep.share = sweep.best_speed > 0 ? sweep.automatic_speed / sweep.best_speed : 1;
  return sweep;
}

// Tokens/s of all that a run made, prompts included.
double answer_rate(const RunResult& run) {
  const double seconds = run.prefill.seconds + run.decode.seconds;
  return seconds > 0 ? static_cast<double>(run.decode.tokens) / seconds : 0;
}

std::optional<Gain> gain_of(const ScenarioRuns& runs) {
  const Scenario& scenario = runs.scenario;
  const auto gain = [&](const char* what, const std::optional<Spread>& first, const std::optional<Spread>& last,
                        double target, bool at_least) {
    const bool known = first && last && first->median > 0;
    return known ? std::optional(Gain{what, *first, *last, last->median / first->median, target, at_least})
                 : std::nullopt;
  };
  switch (scenario.kind) {
    case Kind::kTogether:
      return gain("all answers with their prompts, tokens/s", spread_over(runs.arms.front(), answer_rate),
                  spread_over(runs.arms.back(), answer_rate), scenario.ratio_target, true);
    case Kind::kServed:
    case Kind::kAhead:
    case Kind::kRepacked:
    case Kind::kDraft:
      return gain("decode, tokens/s", spread_over(runs.arms.front(), decode_rate),
                  spread_over(runs.arms.back(), decode_rate), scenario.ratio_target, true);
    case Kind::kRepackedPrompt:
      return gain("a prompt of 512, tokens/s", spread_over(runs.arms.front(), prefill_rate),
                  spread_over(runs.arms.back(), prefill_rate), scenario.ratio_target, true);
    case Kind::kTurns:
      return gain("first token of the first turn and of the second, s",
                  spread_over(runs.arms.back(), [](const RunResult& run) { return run.first_token_seconds; }),
                  spread_over(runs.arms.back(), [](const RunResult& run) { return run.second_turn_seconds; }),
                  kSecondTurn, false);
    default:
      return std::nullopt;
  }
}

bool all_good(const ArmRuns& arm) {
  return good_runs(arm).size() == arm.runs.size();
}

std::vector<Verdict> verdicts_of(const Evaluation& evaluation, const Capabilities& capabilities) {
  const Scenario& scenario = evaluation.runs.scenario;
  const bool complete = all_good(hypura_arm(evaluation.runs));
  const bool capped = scenario.share == 0 || capabilities.cgroups;
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
         kLoadFactor * (load ? load->disk_seconds : 0) + kLoadExtraSeconds, false, capabilities.drop_caches});
  }
  if (scenario.special == Special::kShape && scenario.kind == Kind::kPrefill) {
    const auto& overlap = evaluation.overlap;
    verdicts.push_back({"longer of reading and computing, share of the time",
                        overlap && complete ? std::optional(overlap->share) : std::nullopt, kOverlapShare, true, true});
  }
  if (scenario.is_predicted()) {
    const double most = scenario.kind == Kind::kPredict ? kSpeedErrorPercent : kShapeSpeedErrorPercent;
    const auto& prediction = evaluation.prediction;
    const auto percent = [&](double PredictionCheck::*error) {
      return prediction && complete ? std::optional(100 * std::abs((*prediction).*error)) : std::nullopt;
    };
    verdicts.push_back({"speed predicted, % off", percent(&PredictionCheck::speed_error), most, false, true});
    verdicts.push_back(
        {"peak predicted, % off", percent(&PredictionCheck::peak_error), kMemoryErrorPercent, false, true});
  }
  if (const auto& gain = evaluation.gain; gain && gain->target > 0) {
    verdicts.push_back(
        {gain->what, complete ? std::optional(gain->ratio) : std::nullopt, gain->target, gain->at_least, capped});
  }
  if (scenario.kind == Kind::kSweep) {
    const auto& sweep = evaluation.sweep;
    verdicts.push_back({"share of the best hand-set plan", sweep ? std::optional(sweep->share) : std::nullopt,
                        kSweepShare, true, true});
  }
  return verdicts;
}

}  // namespace

ResidentSpeed resident_speed(const ScenarioRuns& runs) {
  const auto median = [&](auto rate) {
    const auto spread = spread_over(hypura_arm(runs), rate);
    return spread && spread->median > 0 ? std::optional(spread->median) : std::nullopt;
  };
  return {median(decode_rate), median(prefill_rate)};
}

Evaluation evaluate(ScenarioRuns runs, const ResidentSpeed& resident, const Capabilities& capabilities) {
  Evaluation evaluation;
  evaluation.comparisons = compare_all(runs);
  evaluation.bound = bound_of(runs, resident);
  evaluation.overlap = overlap_of(runs);
  evaluation.load = load_of(runs);
  evaluation.prediction = check_prediction(runs);
  evaluation.sweep = sweep_of(runs);
  evaluation.gain = gain_of(runs);
  evaluation.runs = std::move(runs);
  evaluation.verdicts = verdicts_of(evaluation, capabilities);
  return evaluation;
}

}  // namespace hypura::bench
