#include "bench/scenarios/scenario.h"

#include <algorithm>
#include <array>
#include <utility>

#include "support/fail.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

// What a small model that was trained on stories continues by itself.
constexpr const char* kSentence = "Tom has a red ball.";

bool is_named(const std::string& name, const Scenario& scenario) {
  return scenario.name == name || scenario.name.rfind(name + "-", 0) == 0;
}

bool chosen(const Scenario& scenario, const std::vector<std::string>& wanted) {
  return wanted.empty()
             ? !scenario.on_request()
             : std::any_of(wanted.begin(), wanted.end(), [&](const auto& name) { return is_named(name, scenario); });
}

const char* flag_of(ModelKind model) {
  switch (model) {
    case ModelKind::kMoe:
      return "--moe";
    case ModelKind::kDense:
      return "--dense";
    case ModelKind::kStories:
      return "--stories";
    case ModelKind::kStoriesDraft:
      return "--stories-draft";
    case ModelKind::kTarget:
      return "--target";
  }
  return "";
}

// The flag of the first model that the scenario needs and that was not given; nullptr when it can run.
const char* missing_flag(const Scenario& scenario, const Models& models) {
  if (models.of(scenario.model).empty()) {
    return flag_of(scenario.model);
  }
  if (scenario.draft == DraftBy::kModel && models.draft_of(scenario.model).empty()) {
    return scenario.model == ModelKind::kStories ? "--stories-draft" : "--draft";
  }
  return nullptr;
}

// "predict-stories-25" and so on: each model with a quarter of its bytes up to all of them.
void add_at_each_share(std::vector<Scenario>& scenarios, const char* group, Kind kind) {
  constexpr std::array<std::pair<const char*, ModelKind>, 3> kModels = {
      {{"stories", ModelKind::kStories}, {"moe", ModelKind::kMoe}, {"dense", ModelKind::kDense}}};
  for (const auto& [model_name, model] : kModels) {
    for (const int percent : {25, 35, 60, 100}) {
      scenarios.push_back({fmt::format("{}-{}-{}", group, model_name, percent), model, percent / 100.0, kind, 0, 0});
    }
  }
}

// "shape-decode-moe" and so on, at 35 % of the bytes.
void add_shapes(std::vector<Scenario>& scenarios) {
  for (const auto& [model_name, model] : {std::pair{"moe", ModelKind::kMoe}, {"dense", ModelKind::kDense}}) {
    const bool dense = model == ModelKind::kDense;
    Scenario scenario = {
        fmt::format("shape-decode-{}", model_name), model, 0.35, Kind::kDecode, dense ? 2.0 : 4.0, dense ? 0.95 : 0};
    scenario.special = Special::kShape;
    scenarios.push_back(scenario);
    for (const uint32_t tokens : {32U, 128U, 512U, 2048U}) {
      scenario = {fmt::format("shape-prompt{}-{}", tokens, model_name), model, 0.35, Kind::kPrefill, 1.2, 0};
      scenario.special = Special::kShape;
      scenario.prompt_tokens = tokens;
      scenarios.push_back(scenario);
    }
  }
}

// Of a dense model whose tables are 4/5 of the file, so that they are four times the budget.
void add_tables(std::vector<Scenario>& scenarios) {
  Scenario prompt = {"table-prompt512", ModelKind::kDense, 0.2, Kind::kPrefill, 2.0, 0};
  Scenario decode = {"table-decode", ModelKind::kDense, 0.2, Kind::kDecode, 1.0, 0};
  prompt.special = decode.special = Special::kTable;
  scenarios.push_back(prompt);
  scenarios.push_back(decode);
}

std::string list_of_names() {
  std::string text;
  for (const Scenario& scenario : all_scenarios()) {
    text += (text.empty() ? "" : ", ") + scenario.name;
  }
  return text;
}

// Predictions and plans are for caches that are full. Those of a MoE fill token by token; a dense model's ring and
// pinned weights are there after one, and its tokens take seconds.
void warm_up(const Scenario& scenario, RunSpec& spec) {
  if (scenario.model == ModelKind::kDense) {
    spec.warmup_tokens = 1;
    spec.tokens = std::min(spec.tokens, 10U);
  } else {
    // Plain llama.cpp is warmed up too where it is compared with, and takes most of a second for a token there.
    spec.warmup_tokens = scenario.special == Special::kShape ? 24 : 96;
  }
  if (scenario.model == ModelKind::kStories) {
    spec.context =
        scenario.kind == Kind::kSweep ? 768 : 256;  // a quarter of its bytes holds little beside what must stay
  }
}

// The arm with drafts; see draft_arms() for the other.
void say_with_drafts(const Scenario& scenario, RunSpec& spec) {
  spec.draft_ngrams = scenario.draft != DraftBy::kModel;
  spec.as_answer = true;  // in both arms
  if (scenario.model == ModelKind::kStories) {
    spec.warmup_tokens = 48;
    spec.tokens = std::min(8 * spec.tokens, 768U);  // the model knows 1024
  } else if (scenario.draft == DraftBy::kNgramsOfRepetition) {
    spec.warmup_tokens = 1;
    spec.sentence = kSentence;
    spec.prompt_tokens = 64;
    spec.tokens = std::min(8 * spec.tokens, 768U);
  } else {
    spec.warmup_tokens = 1;
    spec.tokens *= 2;
  }
  // A longer context would leave less for the weights.
  spec.context = static_cast<uint32_t>(round_up(spec.prompt_tokens + 1 + spec.warmup_tokens + spec.tokens, 128));
}

}  // namespace

const std::filesystem::path& Models::of(ModelKind kind) const {
  switch (kind) {
    case ModelKind::kMoe:
      return moe;
    case ModelKind::kDense:
      return dense;
    case ModelKind::kStories:
      return stories;
    case ModelKind::kStoriesDraft:
      return stories_draft;
    case ModelKind::kTarget:
      return target;
  }
  return moe;
}

const std::vector<Scenario>& all_scenarios() {
  static const std::vector<Scenario> kScenarios = [] {
    constexpr ModelKind kMoe = ModelKind::kMoe;
    constexpr ModelKind kDense = ModelKind::kDense;
    constexpr ModelKind kTarget = ModelKind::kTarget;
    std::vector<Scenario> scenarios = {
        {"resident-moe", kMoe, 0, Kind::kResident, 0.98, 0},
        {"resident-dense", kDense, 0, Kind::kResident, 0.98, 0},
        {"load", kMoe, 0.35, Kind::kLoad, 0, 0},
        {"moe25", kMoe, 0.25, Kind::kDecode, 0, 0},
        {"moe35", kMoe, 0.35, Kind::kDecode, 2.0, 0},
        {"moe60", kMoe, 0.60, Kind::kDecode, 0, 0},
        {"dense35", kDense, 0.35, Kind::kDecode, 1.8, 0.90},
        {"dense70", kDense, 0.70, Kind::kDecode, 2.5, 0},
        {"prefill512-moe", kMoe, 0.35, Kind::kPrefill, 1.5, 0.85},
        {"prefill512-dense", kDense, 0.35, Kind::kPrefill, 1.5, 0.85},
        {"prefill2048-moe", kMoe, 0.35, Kind::kPrefill, 1.5, 0.85, DraftBy::kNothing, 2048},
        {"prefill2048-dense", kDense, 0.35, Kind::kPrefill, 1.5, 0.85, DraftBy::kNothing, 2048},
        {"together-moe", kMoe, 0.35, Kind::kTogether, 2.0, 0},
        {"together-dense", kDense, 0.35, Kind::kTogether, 5.0, 0},
        {"served-moe", kMoe, 0.35, Kind::kServed, 0.97, 0},
        {"turns-moe", kMoe, 0.35, Kind::kTurns, 0, 0},
        {"ahead-moe25", kMoe, 0.25, Kind::kAhead, 0.97, 0},
        {"ahead-moe35", kMoe, 0.35, Kind::kAhead, 0.97, 0},
        {"ahead-moe60", kMoe, 0.60, Kind::kAhead, 0.97, 0},
        {"repacked-moe25", kMoe, 0.25, Kind::kRepacked, 0, 0},
        {"repacked-moe35", kMoe, 0.35, Kind::kRepacked, 0, 0},
        {"repacked-moe60", kMoe, 0.60, Kind::kRepacked, 0, 0},
        {"repacked-dense35", kDense, 0.35, Kind::kRepacked, 0, 0},
        {"repacked-dense70", kDense, 0.70, Kind::kRepacked, 0, 0},
        {"repacked-prompt-moe", kMoe, 0.35, Kind::kRepackedPrompt, 0, 0},
        {"repacked-prompt-dense", kDense, 0.35, Kind::kRepackedPrompt, 0, 0},
        {"draft-dense", kTarget, 0.35, Kind::kDraft, 2.0, 0, DraftBy::kModel},
        {"draft-ngrams", ModelKind::kStoriesDraft, 1.5, Kind::kDraft, 1.5, 0, DraftBy::kNgramsOfRepetition},
        {"draft-useless", kTarget, 0.35, Kind::kDraft, 0.97, 0, DraftBy::kNgramsOfNothing},
        {"draft-moe", ModelKind::kStories, 0.60, Kind::kDraft, 0, 0, DraftBy::kModel},
    };
    add_at_each_share(scenarios, "predict", Kind::kPredict);
    add_at_each_share(scenarios, "sweep", Kind::kSweep);
    add_shapes(scenarios);
    add_tables(scenarios);
    return scenarios;
  }();
  return kScenarios;
}

Result<std::vector<Scenario>> select_scenarios(const std::vector<std::string>& names, const Models& models) {
  if (models.moe.empty() && models.dense.empty() && models.stories.empty() && models.stories_draft.empty() &&
      models.target.empty()) {
    return fail(ErrorCode::kUsage,
                "no model to measure: give --moe FILE, --dense FILE, --stories FILE, --target FILE or several");
  }
  const auto& all = all_scenarios();
  for (const std::string& name : names) {
    if (std::none_of(all.begin(), all.end(), [&](const Scenario& scenario) { return is_named(name, scenario); })) {
      return fail(ErrorCode::kUsage, "--scenario {}: unknown scenario; choose from {}", name, list_of_names());
    }
  }
  std::vector<Scenario> selected;
  for (const Scenario& scenario : all) {
    if (!chosen(scenario, names)) {
      continue;
    }
    const char* missing = missing_flag(scenario, models);
    if (missing == nullptr) {
      selected.push_back(scenario);
    } else if (std::find(names.begin(), names.end(), scenario.name) != names.end()) {
      return fail(ErrorCode::kUsage, "--scenario {} needs {} FILE", scenario.name, missing);
    }
  }
  if (selected.empty()) {
    return fail(ErrorCode::kUsage, "none of the chosen scenarios can run with the given models; there are {}",
                list_of_names());
  }
  return selected;
}

uint64_t budget_of(const Scenario& scenario, uint64_t file_bytes) {
  return static_cast<uint64_t>(static_cast<double>(file_bytes) * scenario.share);
}

RunSpec spec_of(const Scenario& scenario, uint32_t tokens) {
  RunSpec spec;
  spec.gpu = "none";  // bench/gpu.sh measures those
  spec.tokens = tokens;
  spec.lazy_tables = scenario.special == Special::kTable;
  spec.predict = spec.run_history = scenario.special == Special::kShape;
  switch (scenario.kind) {
    case Kind::kDecode:
      if (scenario.special != Special::kNone) {
        warm_up(scenario, spec);
      }
      break;
    case Kind::kSweep:
      spec.prompt_tokens = 512;
      warm_up(scenario, spec);
      spec.warmup_tokens = std::min(spec.warmup_tokens, 24U);  // the prompt has filled the caches already
      break;
    case Kind::kPredict:
      spec.predict = true;
      spec.run_history = true;  // so that later rounds predict as a second run of the same model does
      warm_up(scenario, spec);
      // Not less than a pass has in the plans: its buffers are part of the peak that they say.
      spec.prompt_tokens = scenario.model == ModelKind::kStories ? 96 : 512;
      spec.tokens = std::min(spec.tokens, spec.context - spec.prompt_tokens - spec.warmup_tokens);
      break;
    case Kind::kTogether:
    case Kind::kServed:
      spec.context = 128;  // each of eight answers has that many: a longer one would leave less for the weights
      spec.warmup_tokens = scenario.model == ModelKind::kDense ? 1 : 48;
      spec.tokens = scenario.model == ModelKind::kDense ? std::min(spec.tokens, 16U) : 2 * spec.tokens;
      break;
    case Kind::kRepackedPrompt:
      spec.prompt_tokens = 512;
      spec.tokens = 2;
      break;
    case Kind::kRepacked:
    case Kind::kAhead:
      warm_up(scenario, spec);
      spec.tokens = 2 * spec.tokens;
      break;
    case Kind::kDraft:
      say_with_drafts(scenario, spec);
      break;
    case Kind::kTurns:
      spec.answers = 1;
      spec.turns = 2;
      spec.prompt_tokens = 700;
      spec.context = 2048;
      break;
    case Kind::kPrefill:
      spec.prompt_tokens = scenario.prompt_tokens;
      spec.context = spec.prompt_tokens + 128;
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
