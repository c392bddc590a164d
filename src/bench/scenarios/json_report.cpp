#include <nlohmann/json.hpp>

#include "bench/scenarios/report.h"

namespace hypura::bench {

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

template <class T>
Json or_null(const std::optional<T>& value) {
  if constexpr (std::is_same_v<T, Spread>) {
    return value ? to_json(*value) : Json();
  } else {
    return value ? Json(*value) : Json();
  }
}

Json arms_json(const Evaluation& evaluation) {
  Json arms = Json::array();
  for (const ArmRuns& arm : evaluation.runs.arms) {
    Json runs = Json::array();
    for (const RunResult& run : arm.runs) {
      runs.push_back(Json::parse(to_json_line(run)));
    }
    arms.push_back({{"engine", arm.arm.spec.engine},
                    {"title", arm.arm.title},
                    {"readahead_kib", or_null(arm.arm.readahead_kib)},
                    {"runs", std::move(runs)}});
  }
  return arms;
}

Json comparisons_json(const Evaluation& evaluation) {
  Json comparisons = Json::array();
  for (const Comparison& comparison : evaluation.comparisons) {
    Json arms = Json::array();
    for (const auto& arm : comparison.arms) {
      arms.push_back(or_null(arm));
    }
    comparisons.push_back(
        {{"what", comparison.what}, {"tokens_per_second", std::move(arms)}, {"ratio", or_null(comparison.ratio)}});
  }
  return comparisons;
}

Json verdicts_json(const Evaluation& evaluation) {
  Json verdicts = Json::array();
  for (const Verdict& verdict : evaluation.verdicts) {
    verdicts.push_back({{"what", verdict.what},
                        {"measured", or_null(verdict.measured)},
                        {verdict.at_least ? "at_least" : "at_most", verdict.target},
                        {"evaluated", verdict.evaluated},
                        {"passed", verdict.evaluated && verdict.passed()}});
  }
  return verdicts;
}

Json scenario_json(const Evaluation& evaluation) {
  const ScenarioRuns& runs = evaluation.runs;
  Json disk = Json::array();
  for (const ProbedSpeed& speed : runs.disk) {
    disk.push_back({{"bytes_per_second", speed.bytes_per_second},
                    {"block", speed.pattern.block},
                    {"threads", speed.pattern.threads}});
  }
  Json json = {{"name", runs.scenario.name},
               {"file_bytes", runs.file_bytes},
               {"budget", runs.budget},
               {"limit", runs.limit},
               {"comparisons", comparisons_json(evaluation)},
               {"verdicts", verdicts_json(evaluation)}};
  if (const auto& bound = evaluation.bound; bound) {
    json["bound"] = {{"disk_bytes_per_second", to_json(bound->disk_bytes_per_second)},
                     {"bytes_per_token", to_json(bound->bytes_per_token)},
                     {"tokens_per_second", bound->tokens_per_second},
                     {"set_by", bound->by_compute ? "computing" : "disk"},
                     {"share", bound->share}};
  }
  if (const auto& overlap = evaluation.overlap; overlap) {
    json["overlap"] = {{"reading_seconds", overlap->reading},
                       {"computing_seconds", overlap->computing},
                       {"taken_seconds", overlap->taken},
                       {"share", overlap->share}};
  }
  if (const auto& load = evaluation.load; load) {
    json["load"] = {{"first_token_seconds", to_json(load->first_token_seconds)},
                    {"resident_bytes", load->resident_bytes},
                    {"disk_seconds", load->disk_seconds}};
  }
  if (const auto& prediction = evaluation.prediction; prediction) {
    json["prediction"] = {{"first_tokens_per_second", prediction->first_speed},
                          {"tokens_per_second", prediction->predicted_speed},
                          {"measured_tokens_per_second", to_json(prediction->measured_speed)},
                          {"tokens_per_second_error", prediction->speed_error},
                          {"peak", prediction->predicted_peak},
                          {"measured_peak", to_json(prediction->measured_peak)},
                          {"peak_error", prediction->peak_error}};
  }
  if (const auto& gain = evaluation.gain; gain) {
    json["gain"] = {
        {"what", gain->what}, {"first", gain->first.median}, {"last", gain->last.median}, {"ratio", gain->ratio}};
  }
  if (const DraftCount drafts = drafts_of(hypura_arm(runs)); drafts.drafted > 0) {
    json["drafts"] = {
        {"drafted", drafts.drafted}, {"accepted", drafts.accepted}, {"right", drafts.accepted}};  // the older name
  }
  if (const auto& sweep = evaluation.sweep; sweep) {
    json["sweep"] = {{"automatic_tokens_per_second", sweep->automatic_speed},
                     {"best", sweep->best},
                     {"best_tokens_per_second", sweep->best_speed},
                     {"share", sweep->share},
                     {"same", sweep->same},
                     {"impossible", sweep->impossible}};
  }
  json["disk"] = std::move(disk);
  json["arms"] = arms_json(evaluation);
  return json;
}

}  // namespace

std::string json_report(const Report& report) {
  Json scenarios = Json::array();
  for (const Evaluation& evaluation : report.evaluations) {
    scenarios.push_back(scenario_json(evaluation));
  }
  const MachineFacts& machine = report.machine;
  const Json json = {{"version", HYPURA_VERSION},
                     {"machine",
                      {{"processor", machine.processor},
                       {"cores", machine.cores},
                       {"memory", machine.memory},
                       {"kernel", machine.kernel},
                       {"load_average", machine.load_average}}},
                     {"threads", report.options.threads},
                     {"repeat", report.options.repeat},
                     {"tokens", report.options.tokens},
                     {"missing", remarks_on(report.capabilities)},
                     {"scenarios", std::move(scenarios)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hypura::bench
