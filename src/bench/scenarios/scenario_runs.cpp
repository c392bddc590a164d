#include "bench/scenarios/scenario_runs.h"

#include <algorithm>
#include <optional>

#include "bench/isolation/readahead.h"
#include "hypura/repack.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura::bench {

namespace {

// Hypura with its own plan, and with plans set by hand. What a model cannot do fails at once.
std::vector<Arm> sweep_arms(const Scenario& scenario, const RunSpec& spec) {
  std::vector<Arm> arms = {{"hypura", spec}};
  for (const uint32_t ubatch : {64U, 128U, 256U, 512U}) {
    arms.push_back({fmt::format("passes of {} tokens", ubatch), spec});
    arms.back().spec.ubatch = ubatch;
  }
  if (scenario.model == ModelKind::kDense) {
    for (const uint64_t ahead : {16 * kMiB, 256 * kMiB}) {
      arms.push_back({fmt::format("ring of {} more", format_bytes(ahead)), spec});
      arms.back().spec.ring_ahead = static_cast<int64_t>(ahead);
    }
    return arms;
  }
  for (const char* mode : {"expert-streaming", "mixed-streaming"}) {
    arms.push_back({mode, spec});
    arms.back().spec.mode = mode;
  }
  // Dense weights before experts.
  arms.push_back({"mixed, dense weights first", spec});
  arms.back().spec.mode = "mixed-streaming";
  arms.back().spec.cached_experts = 0;
  return arms;
}

// What is compared with first, then what it is about. A served answer counts with its prompt, so that the session it is
// held against is a server of one as well where several are to gain by being together.
std::vector<Arm> served_arms(const Scenario& scenario, const RunSpec& spec) {
  constexpr uint32_t kTogetherAnswers = 8;
  const bool together = scenario.kind == Kind::kTogether;
  std::vector<Arm> arms = {{together ? "one answer" : "a session", spec},
                           {together ? fmt::format("{} answers", kTogetherAnswers) : "served", spec}};
  arms[0].spec.answers = together ? 1 : 0;
  arms[1].spec.answers = together ? kTogetherAnswers : 1;
  return arms;
}

// Plain llama.cpp's, but for those with another readahead than the one that is asked for.
std::vector<Arm> wanted_plain_arms(const RunSpec& spec, const Readahead* readahead, uint32_t wanted_kib) {
  std::vector<Arm> arms = plain_arms(spec, readahead);
  const auto kib_of = [&](const Arm& arm) { return arm.readahead_kib.value_or(readahead->own_kib()); };
  if (readahead != nullptr && std::ranges::any_of(arms, [&](const Arm& arm) { return kib_of(arm) == wanted_kib; })) {
    std::erase_if(arms, [&](const Arm& arm) { return kib_of(arm) != wanted_kib; });
  }
  return arms;
}

std::vector<Arm> arms_of(const Scenario& scenario, RunSpec spec, const Readahead* readahead, uint32_t wanted_kib) {
  spec.engine = "hypura";
  if (scenario.kind == Kind::kSweep) {
    return sweep_arms(scenario, spec);
  }
  if (scenario.kind == Kind::kTogether || scenario.kind == Kind::kServed) {
    return served_arms(scenario, spec);
  }
  if (scenario.kind == Kind::kAhead) {
    std::vector<Arm> arms = {{"nothing read ahead", spec}, {"hypura", spec}};
    arms.front().spec.read_ahead = "none";
    return arms;
  }
  if (scenario.is_repacked()) {
    std::vector<Arm> arms = {{"the model itself", spec}, {"its repacked copy", spec}};
    arms.front().spec.repacked = false;
    return arms;
  }
  if (scenario.kind == Kind::kDraft) {
    return draft_arms(scenario, spec);
  }
  std::vector<Arm> arms;
  if (scenario.against_plain()) {
    arms = wanted_plain_arms(spec, readahead, wanted_kib);
    if (scenario.kind == Kind::kResident) {
      arms.resize(1);  // everything is read once: the readahead decides nothing
    }
  }
  if (scenario.kind == Kind::kPrefill && scenario.special == Special::kNone) {
    arms.push_back({"hypura, nothing repacked", spec});
    arms.back().spec.repack_streamed = false;
  }
  arms.push_back({"hypura", spec});
  return arms;
}

RoundsOptions rounds_options(const BenchOptions& options, const Capabilities& capabilities, const ScenarioRuns& runs) {
  const Scenario& scenario = runs.scenario;
  RoundsOptions rounds;
  rounds.program = options.program;
  rounds.files = {options.models.of(scenario.model)};
  if (scenario.draft == DraftBy::kModel) {
    rounds.files.push_back(options.models.draft_of(scenario.model));
  }
  rounds.limit = runs.limit;
  rounds.touch_bytes = runs.limit > 0 ? runs.limit : runs.file_bytes;
  rounds.empty = capabilities.drop_caches ? CacheEmptying::kWhole : CacheEmptying::kNone;
  rounds.repeat = options.repeat;
  rounds.probe_seconds = scenario.has_bound() || scenario.kind == Kind::kLoad ? options.probe_seconds : 0;
  rounds.compare_prefill = scenario.kind == Kind::kPrefill;
  rounds.tell = [name = scenario.name, repeat = options.repeat](uint32_t round, const std::string& text) {
    fmt::print(stderr, "{} {}/{}  {}\n", name, round + 1, repeat, text);
  };
  return rounds;
}

}  // namespace

const ArmRuns& hypura_arm(const ScenarioRuns& runs) {
  return runs.scenario.kind == Kind::kSweep ? runs.arms.front() : runs.arms.back();
}

std::vector<Arm> draft_arms(const Scenario& scenario, const RunSpec& spec) {
  std::vector<Arm> arms = {{"without drafts", spec}, {"with drafts", spec}};
  RunSpec& without = arms.front().spec;
  without.draft.clear();
  without.draft_ngrams = false;
  // Without drafts a pass makes one token, and over the target's weights it takes seconds, whatever is said. Where
  // drafts must cost next to nothing as many are counted all the same: what differs by 3 % wants to be measured well.
  if (scenario.model == ModelKind::kTarget && scenario.draft != DraftBy::kNgramsOfNothing) {
    without.tokens = std::min(without.tokens, 16U);
  }
  return arms;
}

Result<ScenarioRuns> run_scenario(const BenchOptions& options, const Capabilities& capabilities,
                                  const Scenario& scenario) {
  const std::filesystem::path& model = options.models.of(scenario.model);
  ScenarioRuns runs;
  runs.scenario = scenario;
  std::error_code error;
  runs.file_bytes = std::filesystem::file_size(model, error);
  if (error) {
    return fail(ErrorCode::kIo, "{}: {}", model.string(), error.message());
  }
  if (scenario.is_repacked() && !std::filesystem::exists(repacked_name(model))) {
    return fail(ErrorCode::kUsage, "--scenario {} needs {}; `hypura repack {}` writes it", scenario.name,
                repacked_name(model).string(), model.string());
  }
  runs.budget = budget_of(scenario, runs.file_bytes);
  runs.limit = capabilities.cgroups ? limit_of(runs.budget) : 0;
  std::optional<Readahead> readahead;
  if (capabilities.readahead) {
    auto found = Readahead::of(model);
    if (!found) {
      return propagate(found.error());
    }
    readahead.emplace(std::move(*found));
  }
  RunSpec spec = spec_of(scenario, options.tokens);
  spec.model = model.string();
  if (scenario.draft == DraftBy::kModel) {
    spec.draft = options.models.draft_of(scenario.model).string();
  }
  spec.memory = runs.budget;
  spec.repack = runs.budget == 0;
  spec.threads = options.threads;
  RoundsOptions rounds = rounds_options(options, capabilities, runs);
  rounds.readahead = readahead ? &*readahead : nullptr;
  auto made = run_rounds(rounds, arms_of(scenario, spec, rounds.readahead, options.readahead_kib));
  if (!made) {
    return propagate(made.error());
  }
  runs.disk = std::move(made->disk);
  runs.arms = std::move(made->arms);
  return runs;
}

}  // namespace hypura::bench
