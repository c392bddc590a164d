// What is measured on a GPU: this engine and plain llama.cpp under one cap of VRAM, and which ratio each should reach.
//
// The cap is what plain llama.cpp takes with everything in VRAM, less a share of what is divided: of a MoE its experts,
// of a dense model its layers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/rounds.h"
#include "hypura/result.h"

namespace hypura::bench {

// The model, as far as dividing it needs.
struct DividedModel {
  std::filesystem::path path;
  uint32_t layers = 0;
  bool experts = false;        // whether what is divided are its experts
  uint64_t divided_bytes = 0;  // its experts on disk, or its layers
  uint64_t all_in_vram = 0;    // bytes of VRAM that plain llama.cpp takes with all of it there
};

// Fails as open_model; all_in_vram is left to be measured.
Result<DividedModel> divided_model(const std::filesystem::path& path);

struct GpuScenario {
  std::string name;
  bool experts = true;    // of a MoE; else of a dense model
  double vram_share = 1;  // of what is divided, that the cap leaves room for
  double ram_share = 0;   // of it, that the RAM budget leaves room for; 0: no budget
  // Least ratios; 0: none. Decoding by the best plain split under the same cap, decoding and the prompt by plain
  // llama.cpp with everything in VRAM.
  double decode_by_split = 0;
  double decode_by_all = 0;
  double prompt_by_all = 0;
};

// All of them, in the order in which they run.
const std::vector<GpuScenario>& gpu_scenarios();

// Bytes of VRAM; 0: no cap.
uint64_t vram_cap(const GpuScenario& scenario, const DividedModel& model);

// Bytes of RAM; 0: no budget.
uint64_t ram_budget(const GpuScenario& scenario, const DividedModel& model);

// Plain llama.cpp with everything in VRAM: the first arm of each scenario.
Arm all_in_vram(const RunSpec& common);

// Ours of a scenario, model.all_in_vram known.
RunSpec own_spec(const GpuScenario& scenario, const DividedModel& model, RunSpec common);

// The arms: all_in_vram() where RAM has no budget; of `splits`, those of own_spec(), what divides a MoE by its experts
// (--cpu-moe alone where RAM has a budget) or a dense model by its layers; ours.
std::vector<Arm> arms_of(const GpuScenario& scenario, const DividedModel& model, const RunSpec& common,
                         const PlainSplits& splits);

}  // namespace hypura::bench
