#include <nlohmann/json.hpp>

#include "bench/report/report.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

Json json_of(double value) {
  return value;
}

Json json_of(const TimeSplit& split) {
  return {{"io_wait", split.io_wait},
          {"streamed_compute", split.streamed},
          {"other_compute", split.other},
          {"overhead", split.overhead}};
}

Json json_of(const Against& figure) {
  return {{"predicted", figure.predicted}, {"measured", figure.measured}, {"error", figure.error}};
}

Json json_of(const DraftCount& drafts) {
  return {{"drafted", drafts.drafted}, {"accepted", drafts.accepted}, {"right", drafts.accepted}};  // the older name
}

Json json_of(const BoundFigures& bound) {
  return {{"disk_bytes_per_second", json_of(bound.disk_bytes_per_second)},
          {"tokens_per_second", bound.tokens_per_second},
          {"set_by", bound.by_compute ? "computing" : "disk"},
          {"share", bound.share}};
}

Json json_of(const PredictionFigures& prediction);

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? json_of(*value) : Json();
}

Json json_of(const PredictionFigures& prediction) {
  return {{"decode_tokens_per_second", json_of(prediction.decode)},
          {"prefill_tokens_per_second", or_null(prediction.prefill)},
          {"bytes_per_token", or_null(prediction.bytes_per_token)},
          {"hit_rate", or_null(prediction.hit_rate)},
          {"hit_rate_source", prediction.hit_rate_source},
          {"memory_peak", json_of(prediction.memory_peak)}};
}

Json arms_json(const BenchReport& report) {
  Json arms = Json::array();
  for (size_t i = 0; i < report.figures.arms.size(); ++i) {
    const ArmFigures& figures = report.figures.arms[i];
    const ArmRuns& arm = report.rounds.arms[i];
    Json runs = Json::array();
    for (const RunResult& run : arm.runs) {
      Json& made = runs.emplace_back(Json::parse(to_json_line(run)));
      made["right_drafted_tokens"] = run.accepted_draft_tokens;  // the older name
    }
    const auto& readahead = arm.arm.readahead_kib;
    arms.push_back({{"engine", arm.arm.spec.engine},
                    {"title", figures.title},
                    {"gpu", arm.arm.spec.gpu},
                    {"gpu_layers", arm.arm.spec.gpu_layers},
                    {"cpu_expert_layers", arm.arm.spec.cpu_expert_layers},
                    {"readahead_kib", readahead ? Json(*readahead) : Json()},
                    {"decode_tokens_per_second", or_null(figures.decode)},
                    {"prefill_tokens_per_second", or_null(figures.prefill)},
                    {"first_token_seconds", or_null(figures.first_token)},
                    {"load_seconds", or_null(figures.load)},
                    {"bytes_per_token", or_null(figures.bytes_per_token)},
                    {"prompt_bytes", or_null(figures.prompt_bytes)},
                    {"process_peak", or_null(figures.process_peak)},
                    {"cgroup_peak", or_null(figures.cgroup_peak)},
                    {"vram_peak", or_null(figures.vram_peak)},
                    {"runs", std::move(runs)}});
  }
  return arms;
}

Json machine_json(const MachineFacts& machine) {
  return {{"processor", machine.processor},
          {"cores", machine.cores},
          {"memory", machine.memory},
          {"kernel", machine.kernel},
          {"load_average", machine.load_average}};
}

Json settings_json(const BenchReport& report) {
  const BenchOptions& options = report.options;
  Json mirrors = Json::array();
  for (const std::filesystem::path& mirror : options.mirrors) {
    mirrors.push_back(mirror.string());
  }
  return {{"model", options.model.string()},
          {"model_name", report.model_name},
          {"model_bytes", report.model_bytes},
          {"memory", options.memory ? Json(*options.memory) : Json()},
          {"gpu", options.gpu},
          {"vram", options.vram                ? Json(*options.vram)
                   : options.vram_each.empty() ? Json()
                                               : Json(options.vram_each)},
          {"mixed_compute", options.mixed_compute},
          {"baseline_vram", report.plain_splits.gpu.empty() ? Json() : Json(report.plain_splits.vram)},
          {"cgroup_limit", report.limits.cgroup > 0 ? Json(report.limits.cgroup) : Json()},
          {"prompt_tokens", options.prompt_tokens},
          {"warmup_tokens", kBenchWarmupTokens},
          {"tokens", options.tokens},
          {"context", options.context},
          {"threads", options.threads},
          {"draft", options.draft.model.empty() ? Json() : Json(options.draft.model.string())},
          {"draft_ngrams", options.draft.ngrams},
          {"draft_mtp", options.draft.mtp},
          {"draft_tokens", options.draft.tokens > 0 ? Json(options.draft.tokens) : Json()},
          {"mirrors", mirrors},
          {"workers", options.workers},
          {"split", to_string(options.split)},
          {"repeat", options.repeat}};
}

}  // namespace

std::string bench_json(const BenchReport& report) {
  const BenchFigures& figures = report.figures;
  Json disk = Json::array();
  for (const ProbedSpeed& speed : report.rounds.disk) {
    disk.push_back({{"bytes_per_second", speed.bytes_per_second},
                    {"block", speed.pattern.block},
                    {"threads", speed.pattern.threads}});
  }
  const Json json = {{"version", HYPURA_VERSION},
                     {"machine", machine_json(report.machine)},
                     {"settings", settings_json(report)},
                     {"plan", figures.plan},
                     {"mode", figures.mode},
                     {"uncontrolled", report.uncontrolled},
                     {"ratios",
                      {{"decode", or_null(figures.ratios.decode)},
                       {"prefill", or_null(figures.ratios.prefill)},
                       {"first_token", or_null(figures.ratios.first_token)}}},
                     {"hit_rate", or_null(figures.hit_rate)},
                     {"gpu_hit_rate", or_null(figures.gpu_hit_rate)},
                     {"gpu_bytes_per_token", or_null(figures.gpu_bytes)},
                     {"disk_bytes_per_second", or_null(figures.disk_rate)},
                     {"disk_busy_share", or_null(figures.disk_busy)},
                     {"token_seconds", or_null(figures.token_split)},
                     {"prompt_seconds", or_null(figures.prompt_split)},
                     {"drafts", or_null(figures.drafts)},
                     {"bound", or_null(figures.bound)},
                     {"prediction", or_null(figures.prediction)},
                     {"disk_probe", std::move(disk)},
                     {"arms", arms_json(report)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hypura
