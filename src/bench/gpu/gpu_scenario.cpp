#include "bench/gpu/gpu_scenario.h"

#include <algorithm>

#include "bench/run/plain_splits.h"
#include "model/model.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

// Besides what is divided and streamed: the GPU's driver, compute buffers, vocabulary.
constexpr uint64_t kOtherRam = 768 * kMiB;

RunSpec plain_spec(const RunSpec& common) {
  RunSpec spec = common;
  spec.engine = "plain";
  spec.predict = false;
  if (common.memory > 0) {  // from a disk it takes seconds for a token, and has no caches that fill
    spec.warmup_tokens = 2;
    spec.tokens = 24;
  }
  spec.memory = spec.vram = 0;
  spec.ubatch = common.prompt_tokens;  // the whole prompt in a pass: its fastest
  return spec;
}

// Whether the scenario asks for it.
bool is_wanted(const GpuScenario& scenario, const PlainSplit& split) {
  if (!scenario.experts) {
    return split.gpu_layers >= 0;
  }
  return split.flags == "--cpu-moe" || (split.cpu_expert_layers > 0 && scenario.ram_share <= 0);
}

}  // namespace

Result<DividedModel> divided_model(const std::filesystem::path& path) {
  const auto model = open_model(path);
  if (!model) {
    return propagate(model.error());
  }
  DividedModel divided;
  divided.path = path;
  divided.layers = static_cast<uint32_t>(model->layers);
  divided.experts = model->experts > 0;
  for (const TensorInfo& tensor : model->tensors) {
    const bool counts = divided.experts ? tensor.role == TensorRole::kRoutedExpert : tensor.layer >= 0;
    divided.divided_bytes += counts ? tensor.extent.length : 0;
  }
  return divided;
}

const std::vector<GpuScenario>& gpu_scenarios() {
  static const std::vector<GpuScenario> kAll = {
      {"moe-100", true, 1.0, 0, 0, 0.97, 0},   {"moe-50", true, 0.5, 0, 2.2, 0.40, 0},
      {"moe-25", true, 0.25, 0, 1.7, 0, 0.9},  {"moe-25-ram-50", true, 0.25, 0.5, 2.0, 0, 0},
      {"dense-50", false, 0.5, 0, 0.98, 0, 0},
  };
  return kAll;
}

uint64_t vram_cap(const GpuScenario& scenario, const DividedModel& model) {
  const double less = (1 - scenario.vram_share) * static_cast<double>(model.divided_bytes);
  return less > 0 ? model.all_in_vram - std::min(model.all_in_vram - 1, static_cast<uint64_t>(less)) : 0;
}

uint64_t ram_budget(const GpuScenario& scenario, const DividedModel& model) {
  const double share = scenario.ram_share * static_cast<double>(model.divided_bytes);
  return share > 0 ? static_cast<uint64_t>(share) + kOtherRam : 0;
}

Arm all_in_vram(const RunSpec& common) {
  return {"plain, all in VRAM", plain_spec(common)};
}

RunSpec own_spec(const GpuScenario& scenario, const DividedModel& model, RunSpec common) {
  if (ram_budget(scenario, model) > 0) {
    common.prompt_tokens = 128;  // from a disk a longer one takes plain llama.cpp minutes
    common.warmup_tokens = 64;   // RAM then holds what is used
    common.tokens = 64;
  }
  common.engine = "hypura";
  common.predict = true;
  common.run_history = true;  // so that later rounds predict as a second run of the same model does
  common.vram = vram_cap(scenario, model);
  common.memory = ram_budget(scenario, model);
  return common;
}

std::vector<Arm> arms_of(const GpuScenario& scenario, const DividedModel& model, const RunSpec& common,
                         const PlainSplits& splits) {
  const RunSpec ours = own_spec(scenario, model, common);
  std::vector<Arm> arms;
  if (ours.memory == 0) {
    arms.push_back(all_in_vram(ours));
  }
  for (const PlainSplit& split : splits.splits) {
    if (is_wanted(scenario, split)) {
      arms.push_back({"plain, " + split.flags, split_spec(plain_spec(ours), splits, split)});
    }
  }
  for (Arm& arm : arms) {
    arm.spec.repack = ours.memory == 0;  // repacked weights cannot be dropped from RAM
  }
  arms.push_back({"hypura", ours});
  return arms;
}

}  // namespace hypura::bench
