// What workers compute with --split auto: whole layers, or parts of them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "load/plan_model.h"
#include "load/worker_serving_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

EngineOptions split_options(const ServingWorker& worker, uint64_t memory) {
  EngineOptions options;
  options.model = kDemoModel;
  options.gpu = "none";
  options.memory = memory;
  options.context = 128;
  options.ubatch = options.outputs = 16;
  options.threads = 1;
  options.repack = false;  // as the reference
  options.run_history = false;
  options.workers = {fmt::format("127.0.0.1:{}", worker.port())};
  return options;
}

PlanOverrides patient() {
  PlanOverrides overrides;
  overrides.worker_patience = std::chrono::hours(1);
  return overrides;
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

// What --split layers would refuse is no fault of the choice.
TEST(WorkerSplit, ModelsWithAnotherStateHavePartsComputed) {
  const TempDir folder;
  ModelSpec spec = small_spec("qwen3next", "Q8_0");
  spec.output = folder.path() / "model.gguf";
  const auto model = *make_model(spec);
  ServingWorker worker(64 * kMiB, std::chrono::seconds(60), model);
  EngineOptions options = split_options(worker, 0);
  options.model = model;
  options.memory = std::nullopt;
  options.resident = false;
  PlanOverrides overrides = patient();
  overrides.mode = Mode::kExpertStreaming;
  const auto plan = plan_model(*open_model(model), options, nullptr, overrides);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->workers.size(), 1U);
  EXPECT_TRUE(plan->workers[0].there);
  EXPECT_EQ(plan->workers[0].layers, 0U);
  EXPECT_EQ(plan->why.find("whole layers: "), std::string::npos) << plan->why;
}

}  // namespace
}  // namespace hypura
