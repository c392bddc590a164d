// What a plan says of workers, and which of them it asks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/open_overridden.h"
#include "load/plan_model.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

constexpr std::chrono::hours kAnyWait{1};  // for what comes, however slow this machine is
const auto kPlanned = std::filesystem::path(HYPURA_SOURCE_DIR) / "models/hypura-stories-moe.gguf";

// With few slots.
EngineOptions streaming() {
  EngineOptions options;
  options.model = kPlanned;
  options.gpu = "none";
  options.memory = 22 * kMiB;
  options.context = 128;
  options.ubatch = 16;
  options.threads = 1;
  options.resident = false;
  options.run_history = false;
  return options;
}

// By what a worker says of its speed, which nothing of this machine's makes true.
TEST(WorkersPlan, LeavesOutOneThatDoesNotPay) {
  FakeWorkers workers(kPlanned);
  workers.manner().expert_seconds = 10;
  workers.add();
  EngineOptions options = streaming();
  options.workers = workers.addresses();
  options.workers.emplace_back("127.0.0.1:1");
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  overrides.worker_patience = kAnyWait;
  const auto engine = open_overridden(options, overrides);
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  ASSERT_EQ(plan.workers.size(), 2U);
  const WorkerPlan& slow = plan.workers[0];
  EXPECT_TRUE(slow.there);
  EXPECT_FALSE(slow.asked);
  EXPECT_THAT(slow.reason, HasSubstr("computes an expert in"));
  EXPECT_THAT(plan.why, HasSubstr(slow.name + " is not asked: with it"));
  EXPECT_GT(slow.round_trip_seconds, 0);
  EXPECT_GE(slow.slow_round_trip_seconds, slow.round_trip_seconds);
  EXPECT_GT(slow.send_bytes_per_second, 0);
  EXPECT_GT(slow.receive_bytes_per_second, 0);
  EXPECT_FALSE(plan.workers[1].there);
  EXPECT_THAT(plan.workers[1].reason, HasSubstr("refused"));
  EXPECT_EQ(plan.prediction.tokens_per_second, plan.alone_tokens_per_second);
  EXPECT_EQ((*engine)->stats().workers[0].joined, 0U);
  EXPECT_EQ((*engine)->stats().workers[0].asks, 0U);
}

// The same for a plan alone, and for one that is made to ask it.
TEST(WorkersPlan, SaysWhatTheyGiveAndTake) {
  FakeWorkers workers(kPlanned);
  workers.manner().expert_seconds = 10;
  workers.manner().layer_slots = 3;
  workers.add();
  EngineOptions options = streaming();
  options.workers = workers.addresses();
  for (const WorkerSplit split : {WorkerSplit::kAuto, WorkerSplit::kExperts}) {
    options.split = split;
    PlanOverrides overrides;
    overrides.worker_patience = kAnyWait;
    const auto plan = plan_model(*open_model(kPlanned), options, nullptr, overrides);
    ASSERT_TRUE(plan) << plan.error().message;
    ASSERT_EQ(plan->workers.size(), 1U);
    const WorkerPlan& worker = plan->workers[0];
    EXPECT_TRUE(worker.there);
    EXPECT_EQ(worker.asked, split == WorkerSplit::kExperts);
    EXPECT_EQ(worker.slots, 3U * static_cast<uint32_t>(open_model(kPlanned)->layers));
    EXPECT_GT(worker.slower, 100);
    EXPECT_EQ(worker.without_tokens_per_second, plan->alone_tokens_per_second);
    EXPECT_LT(worker.with_tokens_per_second, 1.03 * worker.without_tokens_per_second);
    EXPECT_EQ(plan->prediction.tokens_per_second,
              worker.asked ? worker.with_tokens_per_second : worker.without_tokens_per_second);
    EXPECT_EQ(plan->sentence.find(worker.name + " computes experts too") != std::string::npos, worker.asked);
    EXPECT_EQ(plan->why.find(" without workers") != std::string::npos, worker.asked);
  }
  options.memory = 512 * kMiB;  // for all of it
  options.resident = true;
  const auto resident = plan_model(options, nullptr);
  ASSERT_TRUE(resident) << resident.error().message;
  EXPECT_TRUE(resident->workers.empty());
  EXPECT_THAT(resident->warnings, testing::Contains(HasSubstr("the workers are not asked")));
}

// Of a dense model, by what a worker says of its speed; and one that is asked in any case.
TEST(WorkersPlan, OfADenseModelLeavesOutOneThatDoesNotPay) {
  EngineOptions options = streaming();
  options.model = kPlanned.parent_path() / "hypura-stories-draft.gguf";
  options.memory = 9 * kMiB;
  FakeWorkers workers(options.model);
  workers.manner().experts = 1;
  workers.manner().expert_seconds = 10;
  workers.add();
  options.workers = workers.addresses();
  for (const bool alike : {false, true}) {
    PlanOverrides overrides;
    overrides.mode = Mode::kDenseStreaming;
    overrides.worker_patience = kAnyWait;
    overrides.alike_workers = alike;
    const auto engine = open_overridden(options, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    const Plan& plan = (*engine)->plan();
    ASSERT_EQ(plan.workers.size(), 1U);
    const WorkerPlan& worker = plan.workers[0];
    EXPECT_TRUE(worker.there);
    EXPECT_EQ(worker.asked, alike);
    EXPECT_GT(worker.slower, 100);
    EXPECT_EQ(worker.without_tokens_per_second, plan.alone_tokens_per_second);
    EXPECT_EQ(plan.prediction.tokens_per_second,
              alike ? worker.with_tokens_per_second : worker.without_tokens_per_second);
    EXPECT_EQ(plan.sentence.find(worker.name + " computes feed-forward parts too") != std::string::npos, alike);
    if (!alike) {
      EXPECT_THAT(plan.why, HasSubstr(worker.name + " is not asked: with it"));
      EXPECT_THAT(worker.reason, HasSubstr("computes a feed-forward part in"));
      const auto planned = plan_model(*open_model(options.model), options, nullptr, overrides);
      ASSERT_TRUE(planned) << planned.error().message;
      ASSERT_EQ(planned->workers.size(), 1U);
      EXPECT_FALSE(planned->workers[0].asked);
      EXPECT_THAT(planned->workers[0].reason, HasSubstr("computes a feed-forward part in"));
    }
    const auto session = (*engine)->new_session();
    ASSERT_TRUE((*session)->evaluate({1, 2, 3}));
    EXPECT_EQ((*engine)->stats().workers[0].joined, alike ? 1U : 0U);
  }
}

}  // namespace
}  // namespace hypura
