// What workers compute with --split auto: whole layers, or parts of them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/engine/engine_impl.h"
#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "history/calibration.h"
#include "load/plan_model.h"
#include "load/worker_serving_for_test.h"
#include "plan/worker_plans.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

const std::filesystem::path kSplitDraft =
    std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";

EngineOptions split_options(std::vector<std::string> workers, uint64_t memory) {
  EngineOptions options;
  options.model = kDemoModel;
  options.gpu = "none";
  options.memory = memory;
  options.context = 128;
  options.ubatch = options.outputs = 16;
  options.threads = 1;
  options.repack = false;  // as the reference
  options.run_history = false;
  options.kv_type = KvType::kF16;
  options.workers = std::move(workers);
  return options;
}

EngineOptions split_options(const ServingWorker& worker, uint64_t memory) {
  return split_options({fmt::format("127.0.0.1:{}", worker.port())}, memory);
}

// What is chosen does not depend on how busy this machine is.
PlanOverrides patient() {
  PlanOverrides overrides;
  overrides.worker_patience = std::chrono::hours(1);
  overrides.worker_round_trip = 100e-6;
  return overrides;
}

// Of a model that streams so, with all the memory that it wants.
Result<Plan> plan_in(Mode mode, EngineOptions options) {
  options.memory = std::nullopt;
  options.resident = false;
  PlanOverrides overrides = patient();
  overrides.mode = mode;
  return plan_model(*open_model(options.model), options, nullptr, overrides);
}

// Layer by layer a round trip is more than one for all, where neither machine reads anything.
TEST(WorkerSplit, LayersAreTheirsWhereTheirMemoryHoldsThem) {
  ServingWorker worker(128 * kMiB);
  const EngineOptions options = split_options(worker, 22 * kMiB);
  const auto engine = open_engine(options, patient());
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  EXPECT_THAT(plan.why, HasSubstr("workers have whole layers: "));
  EXPECT_THAT(plan.why, HasSubstr("with experts there"));
  ASSERT_EQ(plan.workers.size(), 1U);
  EXPECT_GT(plan.workers.front().layers, 0U) << plan.sentence;
  Reference reference(kDemoModel, 128, 16, 1);
  const auto session = (*engine)->new_session();
  expect_same_logits(**session, expect_all(reference, {1, 40}, test_tokens(3)), plan.sentence);
}

TEST(WorkerSplit, NothingIsTheirsWhereThisMachineHoldsAll) {
  ServingWorker worker(128 * kMiB);
  const auto plan = plan_model(*open_model(kDemoModel), split_options(worker, 512 * kMiB), nullptr, patient());
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->mode(), Mode::kResident);
  EXPECT_EQ(plan->why.find("whole layers: "), std::string::npos) << plan->why;
}

// What is asked for is done, and nothing is chosen.
TEST(WorkerSplit, IsAsItIsAskedFor) {
  ServingWorker worker(128 * kMiB);
  EngineOptions options = split_options(worker, 22 * kMiB);
  for (const WorkerSplit split : {WorkerSplit::kExperts, WorkerSplit::kLayers}) {
    options.split = split;
    const auto plan = plan_model(*open_model(kDemoModel), options, nullptr, patient());
    ASSERT_TRUE(plan) << plan.error().message;
    ASSERT_EQ(plan->workers.size(), 1U);
    EXPECT_TRUE(plan->workers.front().asked);
    EXPECT_EQ(plan->workers.front().layers > 0, split == WorkerSplit::kLayers);
    EXPECT_EQ(plan->why.find("whole layers: "), std::string::npos) << plan->why;
  }
}

// One that has too little for a layer computes experts.
TEST(WorkerSplit, ExpertsAreTheirsWhereNoLayerFits) {
  ServingWorker worker(12 * kMiB);
  ASSERT_EQ(worker.worker().facts.peer_memory, 0U);
  const auto plan = plan_model(*open_model(kDemoModel), split_options(worker, 22 * kMiB), nullptr, patient());
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_EQ(plan->workers.front().layers, 0U);
  EXPECT_EQ(plan->why.find("whole layers: "), std::string::npos) << plan->why;
}

// Nor where passes are to have more tokens than its memory is for.
TEST(WorkerSplit, ExpertsAreTheirsWherePassesAreTooLongForLayers) {
  ServingWorker worker(20 * kMiB);
  ASSERT_GT(worker.worker().facts.peer_memory, 0U);
  const uint32_t most = worker.worker().facts.most_pairs;
  EngineOptions options = split_options(worker, 22 * kMiB);
  options.ubatch = most + 1;
  const auto plan = plan_model(*open_model(kDemoModel), options, nullptr, patient());
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->workers.at(0).layers, 0U);
}

// The one that is there has layers; and when it is lost too, the model is opened without.
TEST(WorkerSplit, IsChosenAnewWithThoseThatAreThere) {
  ServingWorker worker(128 * kMiB);
  EngineOptions options = split_options(worker, 22 * kMiB);
  options.workers.insert(options.workers.begin(), "127.0.0.1:1");
  Reference reference(kDemoModel, 128, 16, 1);
  for (const bool there : {true, false}) {
    if (!there) {
      worker.stop();
    }
    const auto engine = open_engine(options, patient());
    ASSERT_TRUE(engine) << engine.error().message;
    const Plan& plan = (*engine)->plan();
    const bool layers = plan.why.find("workers have whole layers: ") != std::string::npos;
    EXPECT_EQ(layers, there) << plan.why;
    const auto session = (*engine)->new_session();
    expect_same_logits(**session, expect_all(reference, {1, 40}, test_tokens(3)), plan.sentence);
  }
}

// What plans are made of; none of them computes any layer.
FakeWorkers with_memory(const std::filesystem::path& model) {
  FakeWorkers workers(model);
  workers.manner().peer_memory = 128 * kMiB;
  return workers;
}

Result<Plan> plan_of(const EngineOptions& options, const MachineProfile* profile = nullptr) {
  return plan_model(*open_model(options.model), options, profile, patient());
}

// What it would cost is not in the plan, and others may have it.
TEST(WorkerSplit, OneThatMakesTokensSlowerHasNoLayersAndIsLeft) {
  FakeWorkers workers = with_memory(kDemoModel);
  workers.manner().expert_seconds = 1;
  FakeWorker& slow = workers.add();
  workers.manner().expert_seconds = 0;
  FakeWorker& fast = workers.add();
  EngineOptions options = split_options(workers.addresses(), 22 * kMiB);
  auto plan = plan_of(options);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_EQ(plan->workers[0].name, to_string(fast.address()));
  EXPECT_GT(plan->workers[0].layers, 0U);
  EXPECT_THAT(plan->why, HasSubstr(to_string(slow.address()) + " has none: tokens are faster so"));
  EXPECT_EQ(slow.connections(), 1U);
  EXPECT_EQ(fast.connections(), 2U);

  options.split = WorkerSplit::kLayers;
  plan = plan_of(options);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 2U);
  EXPECT_GT(plan->workers[0].layers, 0U) << "as it is asked for";
  EXPECT_LT(plan->prediction.tokens_per_second, 1);
}

TEST(WorkerSplit, NothingIsTheirsWhereAllAreSlow) {
  FakeWorkers workers = with_memory(kDemoModel);
  workers.manner().expert_seconds = 1;
  workers.add();
  const auto plan = plan_of(split_options(workers.addresses(), 22 * kMiB));
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_FALSE(plan->workers[0].asked);
  EXPECT_THAT(plan->why, HasSubstr("workers have no whole layers: "));
  EXPECT_THAT(plan->why, HasSubstr("without workers"));
}

TEST(WorkerSplit, OneWithAnotherNumberOfThreadsHasNoLayers) {
  FakeWorkers workers = with_memory(kDemoModel);
  workers.manner().threads = 2;
  FakeWorker& other = workers.add();
  auto plan = plan_of(split_options(workers.addresses(), 22 * kMiB));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->workers.at(0).layers, 0U);
  workers.manner().threads = 1;
  workers.add();
  plan = plan_of(split_options(workers.addresses(), 22 * kMiB));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(plan->why,
              HasSubstr(to_string(other.address()) + " has none: it computes with 2 threads, and this machine with 1"));
}

TEST(WorkerSplit, AContextIsChosenWithTheirLayers) {
  FakeWorkers workers = with_memory(kDemoModel);
  workers.add();
  EngineOptions options = split_options(workers.addresses(), 22 * kMiB);
  options.context = 0;
  const auto plan = plan_of(options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_GT(plan->workers.at(0).layers, 0U) << plan->why;
  options.workers.clear();
  const auto alone = plan_of(options);
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_GE(plan->context, alone->context);
}

// As with experts, of which the same is decided by what was measured.
TEST(WorkerSplit, WhatEarlierRunsTookCounts) {
  const TempDir folder;
  const EnvironmentVariable caches("XDG_CACHE_HOME", folder.path().c_str());
  FakeWorkers workers = with_memory(kDemoModel);
  workers.add();
  const EngineOptions options = split_options(workers.addresses(), 22 * kMiB);
  const Model model = *open_model(kDemoModel);
  MachineProfile profile;
  profile.measured_at = "2026-01-02T03:04:05Z";
  const auto first = plan_of(options, &profile);
  ASSERT_TRUE(first) << first.error().message;
  const uint32_t layers = first->workers.at(0).layers;
  ASSERT_GT(layers, 0U);
  const auto shown = [](const Plan& plan) {
    return std::stod(plan.why.substr(plan.why.find("whole layers: ") + std::string("whole layers: ").size()));
  };
  // Of experts nothing is known: they are taken to be as much slower.
  const std::string key = fmt::format("{}, 1 threads, plain, {} layers on {}", to_string(first->mode()), layers + 1,
                                      workers.addresses().front());
  ASSERT_TRUE(save_calibration(model, profile.measured_at, key, kLargestFactor));
  const auto slower = plan_of(options, &profile);
  ASSERT_TRUE(slower) << slower.error().message;
  ASSERT_EQ(slower->workers.at(0).layers, layers);
  ASSERT_TRUE(slower->prediction.calibration);
  EXPECT_NEAR(shown(*slower) / slower->prediction.tokens_per_second, 1, 0.5) << slower->why;

  const std::string parts = "expert-streaming, 1 threads, plain";
  ASSERT_TRUE(save_calibration(model, profile.measured_at, parts + kWorkersInKey + workers.addresses().front(),
                               1 / kLargestFactor));
  ASSERT_TRUE(save_calibration(model, profile.measured_at, parts, 1 / kLargestFactor));
  const auto experts = plan_of(options, &profile);
  ASSERT_TRUE(experts) << experts.error().message;
  EXPECT_EQ(experts->workers.at(0).layers, 0U) << experts->why;
  EXPECT_THAT(experts->why, HasSubstr("workers have no whole layers: "));
}

TEST(WorkerSplit, ADenseModelHasEither) {
  FakeWorkers workers = with_memory(kSplitDraft);
  workers.add();
  EngineOptions options = split_options(workers.addresses(), 0);
  options.model = kSplitDraft;
  const auto plan = plan_in(Mode::kDenseStreaming, options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(plan->why, HasSubstr("whole layers: "));
  EXPECT_THAT(plan->why, testing::AnyOf(HasSubstr("with feed-forward parts there"), HasSubstr("without workers")));

  options.split = WorkerSplit::kExperts;  // so that no answer ends with a worker
  const auto parts = plan_in(Mode::kDenseStreaming, options);
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_TRUE(parts->workers.at(0).asked);
  EXPECT_EQ(parts->workers.at(0).layers, 0U);
  EXPECT_EQ(parts->why.find("whole layers: "), std::string::npos) << parts->why;
}

// --split layers refuses them.
TEST(WorkerSplit, MtpLayersDraftBesideWorkersWithExperts) {
  const TempDir folder;
  ModelSpec spec = small_spec("fused", "Q8_0");
  spec.mtp = 1;
  spec.output = folder.path() / "model.gguf";
  const auto model = *make_model(spec);
  FakeWorkers workers = with_memory(model);
  workers.add();
  EngineOptions options = split_options(workers.addresses(), 0);
  options.model = model;
  options.draft.mtp = true;
  const auto plan = plan_in(Mode::kExpertStreaming, options);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_TRUE(plan->workers[0].there);
  EXPECT_EQ(plan->workers[0].layers, 0U);
}

TEST(WorkerSplit, ADraftModelComputesHere) {
  ServingWorker worker(128 * kMiB);
  const auto told = [&](bool drafts) {
    EngineOptions options = split_options(worker, 22 * kMiB);
    options.draft.model = drafts ? kSplitDraft : "";
    options.workers = drafts ? options.workers : std::vector<std::string>();
    PlanOverrides overrides = patient();
    overrides.keep_draft_model = true;
    const auto engine = open_engine(options, overrides);
    EXPECT_TRUE(engine) << engine.error().message;
    EXPECT_EQ(drafts, (*engine)->plan().why.find("workers have whole layers: ") != std::string::npos);
    GenerateOptions greedy;
    greedy.max_tokens = 24;
    greedy.sampling.temperature = 0;
    const auto answer = (*(*engine)->new_session())->complete("Once upon a time", greedy);
    EXPECT_TRUE(answer) << answer.error().message;
    EXPECT_EQ((*engine)->stats().drafted_tokens > 0, drafts);
    return answer ? answer->tokens : std::vector<int32_t>();
  };
  EXPECT_EQ(told(true), told(false));
}

// What --split layers would refuse is no fault of the choice.
TEST(WorkerSplit, ModelsWithAnotherStateHavePartsComputed) {
  const TempDir folder;
  ModelSpec spec = small_spec("qwen3next", "Q8_0");
  spec.output = folder.path() / "model.gguf";
  const auto model = *make_model(spec);
  ServingWorker worker(64 * kMiB, std::chrono::seconds(60), model);
  EngineOptions options = split_options(worker, 0);
  options.model = model;
  const auto plan = plan_in(Mode::kExpertStreaming, options);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_TRUE(plan->workers[0].there);
  EXPECT_EQ(plan->workers[0].layers, 0U);
  EXPECT_EQ(plan->why.find("whole layers: "), std::string::npos) << plan->why;
}

}  // namespace
}  // namespace hypura
