// What is measured, and which figure each measurement should reach.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/run/run_spec.h"
#include "hypura/result.h"

namespace hypura::bench {

enum class Kind {
  kDecode,          // tokens made one by one, within a budget
  kPrefill,         // one prompt, within a budget
  kResident,        // both, with memory for the whole model
  kLoad,            // from opening the model to the first token, within a budget; no plain llama.cpp to compare with
  kPredict,         // decode within a budget, held against what the plan predicted; hypura alone
  kTogether,        // eight answers served at once against one; hypura alone
  kServed,          // one answer, served, against the same from a session; hypura alone
  kTurns,           // a conversation's second turn against its first; hypura alone
  kAhead,           // decode with experts read ahead against decode without; hypura alone
  kRepacked,        // decode from the repacked copy against decode from the model itself; hypura alone
  kRepackedPrompt,  // the same with a prompt of 512 tokens
  kDraft,           // decode with drafts against decode without; hypura alone
  kSweep,           // prompt and decode within a budget, by the automatic plan and by plans set by hand; hypura alone
};

enum class ModelKind { kMoe, kDense, kStories, kStoriesDraft, kTarget };

// What a kDraft scenario drafts from.
enum class DraftBy {
  kNothing,             // of all other kinds
  kModel,               // the draft model, whatever is said
  kNgramsOfRepetition,  // n-grams of a text that repeats itself
  kNgramsOfNothing      // n-grams of a text in which nothing repeats
};

// The model files that were given; empty where one was not.
struct Models {
  std::filesystem::path moe = {};
  std::filesystem::path dense = {};
  std::filesystem::path stories = {};
  std::filesystem::path target = {};
  std::filesystem::path draft = {};          // of the target
  std::filesystem::path stories_draft = {};  // of the stories model

  const std::filesystem::path& of(ModelKind kind) const;
  // The small model that drafts for the models of that kind.
  const std::filesystem::path& draft_of(ModelKind kind) const {
    return kind == ModelKind::kStories ? stories_draft : draft;
  }
};

// Of scenarios for models of other shapes than the benchmark's own two.
enum class Special {
  kNone,
  kShape,  // prompts of 32 to 2048 tokens and decoding, with predictions and with reading held against computing
  kTable,  // a model whose tables are larger than the budget; plain llama.cpp reads their rows from the file
           // (--lazy-mode)
};

struct Scenario {
  std::string name;
  ModelKind model = ModelKind::kMoe;
  double share = 0;  // of the file's bytes: the budget; 0 without one
  Kind kind = Kind::kDecode;
  double ratio_target = 0;  // hypura's speed by that of what it is compared with, at least; 0: no target
  double bound_target = 0;  // share of the physical bound, at least; 0: no target
  DraftBy draft = DraftBy::kNothing;
  uint32_t prompt_tokens = 512;  // of a kPrefill
  Special special = Special::kNone;

  bool against_plain() const { return kind == Kind::kDecode || kind == Kind::kPrefill || kind == Kind::kResident; }
  // Takes long or asks another question: runs only when named.
  bool on_request() const {
    return asks_the_plan() || special != Special::kNone || kind == Kind::kAhead || is_repacked() ||
           (kind == Kind::kDraft && model == ModelKind::kStories);
  }
  // Has a physical bound: a prompt, or tokens decoded one by one, of weights that are read.
  bool has_bound() const { return kind == Kind::kDecode || kind == Kind::kAhead || kind == Kind::kPrefill; }
  bool is_repacked() const { return kind == Kind::kRepacked || kind == Kind::kRepackedPrompt; }
  // Is about what the plan says.
  bool asks_the_plan() const { return kind == Kind::kPredict || kind == Kind::kSweep || special == Special::kShape; }
  // Speed and memory are held against what the plan predicted: it predicts decoding, and prompts of 512 tokens.
  bool is_predicted() const {
    return kind == Kind::kPredict || (special == Special::kShape && (kind == Kind::kDecode || prompt_tokens == 512));
  }
};

// The load target: this many times what the disk needs for the weights that stay, and a second.
inline constexpr double kLoadFactor = 1.3;
inline constexpr double kLoadExtraSeconds = 1.0;

// How far a prediction may be off, in per cent of the measurement, and how much of the best hand-set plan's speed the
// automatic one must reach.
inline constexpr double kSpeedErrorPercent = 20;
inline constexpr double kShapeSpeedErrorPercent = 15;
inline constexpr double kMemoryErrorPercent = 5;
inline constexpr double kSweepShare = 0.97;
// The longer of reading and computing by the time of a prompt, at least (Overlap).
inline constexpr double kOverlapShare = 0.8;
// Seconds to the first token of a conversation's second turn, by those of its first, at most.
inline constexpr double kSecondTurn = 0.15;

// All of them, in the order in which they run.
const std::vector<Scenario>& all_scenarios();

// Those named, in the order of all_scenarios(); none named: all whose model is given, but for those on request.
// "resident" means every "resident-…". Fails with kUsage for an unknown name, for a scenario whose models are not
// given, and when none is left.
Result<std::vector<Scenario>> select_scenarios(const std::vector<std::string>& names, const Models& models);

// 0 without a budget.
uint64_t budget_of(const Scenario& scenario, uint64_t file_bytes);

// How long prompt and answer are; engine, models, memory and threads are left to the caller. `tokens` are to be
// decoded.
RunSpec spec_of(const Scenario& scenario, uint32_t tokens);

}  // namespace hypura::bench
