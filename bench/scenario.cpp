#include "bench/scenario.h"

#include <algorithm>

#include "support/units.h"

namespace hypura::bench {

namespace {

bool is_named(const std::string& name, const Scenario& scenario) {
  return scenario.name == name || scenario.name.rfind(name + "-", 0) == 0;
}

bool chosen(const Scenario& scenario, const std::vector<std::string>& wanted) {
  return wanted.empty() ||
         std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) { return is_named(name, scenario); });
}

std::string list_of_names() {
  std::string text;
  for (const Scenario& scenario : all_scenarios()) {
    text += (text.empty() ? "" : ", ") + scenario.name;
  }
  return text;
}

}  // namespace

const std::vector<Scenario>& all_scenarios() {
  static const std::vector<Scenario> kScenarios = {
      {"resident-moe", true, 0, Kind::kResident, 0.98, 0},
      {"resident-dense", false, 0, Kind::kResident, 0.98, 0},
      {"load", true, 0.35, Kind::kLoad, 0, 0},
      {"moe25", true, 0.25, Kind::kDecode, 0, 0},
      {"moe35", true, 0.35, Kind::kDecode, 2.0, 0},
      {"moe60", true, 0.60, Kind::kDecode, 0, 0},
      {"dense35", false, 0.35, Kind::kDecode, 1.8, 0.90},
      {"dense70", false, 0.70, Kind::kDecode, 2.5, 0},
      {"prefill512-moe", true, 0.35, Kind::kPrefill, 1.0, 0},
      {"prefill512-dense", false, 0.35, Kind::kPrefill, 1.0, 0},
  };
  return kScenarios;
}

Result<std::vector<Scenario>> select_scenarios(const std::vector<std::string>& names, bool have_moe, bool have_dense) {
  if (!have_moe && !have_dense) {
    return fail(ErrorCode::kUsage, "no model to measure: give --moe FILE, --dense FILE or both");
  }
  const auto& all = all_scenarios();
  for (const std::string& name : names) {
    if (std::none_of(all.begin(), all.end(), [&](const Scenario& scenario) { return is_named(name, scenario); })) {
      return fail(ErrorCode::kUsage, "--scenario {}: there is no such scenario; there are {}", name, list_of_names());
    }
  }
  std::vector<Scenario> selected;
  for (const Scenario& scenario : all) {
    const bool have_model = scenario.moe ? have_moe : have_dense;
    if (!chosen(scenario, names)) {
      continue;
    }
    if (have_model) {
      selected.push_back(scenario);
    } else if (std::find(names.begin(), names.end(), scenario.name) != names.end()) {
      return fail(ErrorCode::kUsage, "--scenario {} needs {} FILE", scenario.name, scenario.moe ? "--moe" : "--dense");
    }
  }
  return selected;
}

uint64_t budget_of(const Scenario& scenario, uint64_t file_bytes) {
  return static_cast<uint64_t>(static_cast<double>(file_bytes) * scenario.share);
}

uint64_t limit_of(uint64_t budget) {
  return budget == 0 ? 0 : budget + std::max(budget / 20, 64 * kMiB);
}

RunSpec spec_of(const Scenario& scenario, uint32_t tokens) {
  RunSpec spec;
  spec.tokens = tokens;
  switch (scenario.kind) {
    case Kind::kDecode:
      break;
    case Kind::kPrefill:
      spec.prompt_tokens = 512;
      spec.warmup_tokens = spec.tokens = 0;
      break;
    case Kind::kResident:
      spec.prompt_tokens = 512;
      break;
    case Kind::kLoad:
      // A longer prompt would read experts, which is not loading.
      spec.prompt_tokens = 1;
      spec.warmup_tokens = spec.tokens = 0;
      break;
  }
  return spec;
}

}  // namespace hypura::bench
