#include "bench/run/prediction.h"

#include "bench/run/bench_engine.h"
#include "hypura/profile.h"
#include "load/plan_model.h"
#include "store/mirrors.h"

namespace hypura {

namespace {

ProfileOptions of_disk(const std::filesystem::path& model) {
  ProfileOptions options;
  options.path = model;
  return options;
}

void note_device(const DevicePlan& device, PredictedRun& predicted) {
  predicted.gpu_hit_rate = device.hit_rate.value_or(-1);
  predicted.upload_bytes_per_token = device.uploaded_bytes_per_token;
  predicted.compute_seconds = device.compute_seconds;
  predicted.upload_seconds = device.upload_seconds;
  predicted.cut_seconds = device.cut_seconds;
  predicted.disk_seconds = device.disk_seconds;
}

}  // namespace

Status prepare_predictions(const std::filesystem::path& model) {
  return machine_profile(of_disk(model)).map([](const MachineProfile&) {});
}

Result<Plan> plan_of(const RunSpec& spec) {
  const EngineOptions options = engine_options(spec);
  return open_model(options.model).and_then([&](const Model& model) {
    return mirrors_of(model, options).and_then([&](const std::vector<Mirror>& mirrors) {
      const auto profile = with_mirrors(cached_profile(of_disk(options.model)), model, mirrors);
      return plan_model(model, options, profile ? &*profile : nullptr, plan_overrides(spec));
    });
  });
}

PredictedRun predict(const RunSpec& spec) {
  PredictedRun predicted;
  if (spec.drafts()) {
    predicted.remark = "a plan is for passes of one token each, and by drafts they have several";
    return predicted;
  }
  const auto plan = plan_of(spec);
  if (!plan) {
    predicted.remark = plan.error().message;
    return predicted;
  }
  const Prediction& said = plan->prediction;
  predicted.known = true;
  predicted.decode_tokens_per_second = said.tokens_per_second;
  predicted.prefill512_seconds = said.prefill512_seconds;
  predicted.load_seconds = said.load_seconds;
  predicted.bytes_per_token = said.bytes_per_token;
  predicted.hit_rate = said.hit_rate.value_or(-1);
  predicted.hit_rate_source = said.hit_rate_source;
  predicted.bound_tokens_per_second = said.bound_tokens_per_second;
  predicted.bound_by = said.bound_by == Limit::kCompute ? "computing" : to_string(said.bound_by);
  predicted.memory_peak = said.memory_peak;
  if (plan->device) {
    note_device(*plan->device, predicted);
  }
  return predicted;
}

}  // namespace hypura
