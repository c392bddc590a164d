// What is measured, and which figure each measurement should reach.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/run_spec.h"
#include "hypura/result.h"

namespace hypura::bench {

enum class Kind {
  kDecode,    // tokens made one by one, within a budget
  kPrefill,   // one prompt of 512 tokens, within a budget
  kResident,  // both, with memory for the whole model
  kLoad,      // from opening the model to the first token, within a budget; no plain llama.cpp to compare with
};

struct Scenario {
  std::string name;
  bool moe = false;  // which of the two models
  double share = 0;  // of the file's bytes: the budget; 0 without one
  Kind kind = Kind::kDecode;
  double ratio_target = 0;  // hypura's speed by the best plain one's, at least; 0: no target
  double bound_target = 0;  // share of the physical bound, at least; 0: no target
};

// The load target: this many times what the disk needs for the weights that stay, and a second.
inline constexpr double kLoadFactor = 1.3;
inline constexpr double kLoadExtraSeconds = 1.0;

// All of them, in the order in which they run.
const std::vector<Scenario>& all_scenarios();

// Those named, in the order of all_scenarios(); none named: all whose model is given. "resident" means every
// "resident-…". Fails with kUsage for an unknown name, for a scenario whose model is not given, and without any model.
Result<std::vector<Scenario>> select_scenarios(const std::vector<std::string>& names, bool have_moe, bool have_dense);

// Budget, and the limit of the cgroup: the budget and 5 % or 64 MiB, whichever is more. 0 without a budget.
uint64_t budget_of(const Scenario& scenario, uint64_t file_bytes);
uint64_t limit_of(uint64_t budget);

// How long prompt and answer are; engine, model, memory and threads are left to the caller. `tokens` are to be decoded.
RunSpec spec_of(const Scenario& scenario, uint32_t tokens);

}  // namespace hypura::bench
