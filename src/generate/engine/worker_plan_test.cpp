// What a plan says of workers, and which of them it asks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/open_overridden.h"
#include "load/plan_model.h"
#include "plan/worker_plans.h"
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

std::vector<std::pair<std::string, uint64_t>> bytes_of(const std::vector<LedgerLine>& ledger) {
  std::vector<std::pair<std::string, uint64_t>> bytes;
  for (const LedgerLine& it : ledger) {
    bytes.emplace_back(to_string(it.purpose), it.bytes);
  }
  return bytes;
}

// Neither for messages to it, nor because it was looked for: the plan is that of one machine.
TEST(WorkersPlan, WhatIsLeftOutTakesNoMemory) {
  struct Case {
    const char* model;
    uint64_t memory;
    Mode mode;
  };
  for (const Case& it : {Case{"hypura-stories-moe.gguf", 22 * kMiB, Mode::kExpertStreaming},
                         Case{"hypura-stories-draft.gguf", 9 * kMiB, Mode::kDenseStreaming}}) {
    EngineOptions options = streaming();
    options.model = kPlanned.parent_path() / it.model;
    options.memory = it.memory;
    PlanOverrides overrides;
    overrides.mode = it.mode;
    overrides.worker_patience = kAnyWait;
    const auto alone = open_overridden(options, overrides);
    ASSERT_TRUE(alone) << alone.error().message;
    const auto plan_alone = plan_model(*open_model(options.model), options, nullptr, overrides);
    FakeWorkers workers(options.model);
    workers.manner().expert_seconds = 10;
    workers.add();
    options.workers = workers.addresses();
    const auto beside = open_overridden(options, overrides);
    ASSERT_TRUE(beside) << beside.error().message;
    EXPECT_EQ(workers.at(0).connections(), 1U) << "it was looked for, and left";
    const auto plan = plan_model(*open_model(options.model), options, nullptr, overrides);
    ASSERT_TRUE(plan) << plan.error().message;
    const auto expected = bytes_of((*alone)->plan().ledger);
    EXPECT_EQ(bytes_of(plan->ledger), bytes_of(plan_alone->ledger)) << it.model;
    EXPECT_EQ(bytes_of((*beside)->plan().ledger), expected) << it.model;
    EXPECT_EQ(bytes_of((*beside)->ledger()), bytes_of((*alone)->ledger())) << it.model;
    EXPECT_EQ((*beside)->plan().prediction.tokens_per_second, (*alone)->plan().prediction.tokens_per_second);
    ASSERT_EQ((*beside)->plan().workers.size(), 1U);
    EXPECT_THAT((*beside)->plan().why, HasSubstr("is not asked: with it"));
    options.split = WorkerSplit::kExperts;
    overrides.alike_workers = true;
    const auto asking = open_overridden(options, overrides);
    ASSERT_TRUE(asking) << asking.error().message;
    EXPECT_NE(bytes_of((*asking)->plan().ledger), expected) << "messages take memory where it is asked";
  }
}

// On paper: whatever a round trip takes, the plan with a worker is never slower than that of one machine, which has the
// memory of messages.
TEST(WorkersPlan, IsNeverSlowerThanAlone) {
  const Model model = *open_model(kPlanned);
  EngineOptions options = streaming();
  options.workers = {"127.0.0.1:52525"};
  const RunHistory nothing;
  const auto request_with = [&](std::vector<PlannedWorker> workers) {
    OpenRequest request = begin_request(options, model, {*options.memory, ""}, nothing, {}, {});
    request.workers = std::move(workers);
    return request;
  };
  WorkerVerdict verdict;
  verdict.slots = static_cast<uint32_t>(model.layers * model.experts);
  verdict.most_pairs = kMostPairs;
  PlannedWorker out;
  out.choice.emplace();
  const auto alone_problem = placement_problem(request_with({out}));
  const double alone = pass_cost(*alone_problem, *place(*alone_problem), 1).seconds;
  int asked = 0;
  int messages = 0;
  for (double round_trip = 1e-5; round_trip < 1e-2; round_trip *= 1.02) {
    PlannedWorker worker;
    worker.found = {"box", verdict, {round_trip, round_trip, 1e9, 1e9}, ""};
    OpenRequest request = request_with({worker});
    leave_out_workers(request);
    auto problem = placement_problem(request);
    const auto placement = place(*problem);
    ASSERT_TRUE(placement);
    choose_workers(request, *problem, *placement);
    const double seconds = pass_cost(*problem, *placement, 1).seconds;
    EXPECT_LE(seconds, alone * (1 + 1e-9)) << round_trip;
    asked += request.leaves_out(0) ? 0 : 1;
    messages += request.workers[0].choice->hindrance == WorkerHindrance::kMessages ? 1 : 0;
    EXPECT_EQ(request.messaged_workers(), request.leaves_out(0) ? 0U : 1U);
  }
  EXPECT_GT(asked, 0);
  EXPECT_GT(messages, 0) << "none was left out for the memory of its messages alone";
}

// Whether they are there or not: in the least memory none is taken for messages.
TEST(WorkersPlan, AModelThatFitsAloneIsNotRefusedForThem) {
  const auto draft = std::filesystem::path(HYPURA_SOURCE_DIR) / "models/hypura-stories-draft.gguf";
  PlanOverrides overrides;
  overrides.worker_patience = kAnyWait;
  for (const std::filesystem::path& file : {kPlanned, draft}) {
    const Model model = *open_model(file);
    FakeWorkers workers(file);
    workers.add();
    const std::string there = workers.addresses().front();
    EngineOptions options = streaming();
    options.model = file;
    options.memory = kMiB;
    auto plan_alone = plan_model(model, options, nullptr, {});
    ASSERT_FALSE(plan_alone);
    for (; !plan_alone && *options.memory < 64 * kMiB; *options.memory += 256 * kKiB) {
      plan_alone = plan_model(model, options, nullptr, {});
    }
    ASSERT_TRUE(plan_alone) << plan_alone.error().message;
    *options.memory -= 256 * kKiB;
    const auto alone = open_overridden(options, {});
    ASSERT_TRUE(alone) << alone.error().message;
    for (const std::vector<std::string>& named : {std::vector{there}, std::vector<std::string>{"127.0.0.1:1"},
                                                  std::vector<std::string>{there, "127.0.0.1:1"}}) {
      options.workers = named;
      const auto plan = plan_model(model, options, nullptr, overrides);
      ASSERT_TRUE(plan) << file << ": " << plan.error().message;
      EXPECT_EQ(bytes_of(plan->ledger), bytes_of(plan_alone->ledger)) << file;
      const auto beside = open_overridden(options, overrides);
      ASSERT_TRUE(beside) << file << ": " << beside.error().message;
      EXPECT_EQ(bytes_of((*beside)->ledger()), bytes_of((*alone)->ledger())) << file;
      ASSERT_EQ((*beside)->plan().workers.size(), named.size());
      for (const WorkerPlan& it : (*beside)->plan().workers) {
        EXPECT_FALSE(it.asked);
        EXPECT_EQ(it.there, it.name == there);
        EXPECT_EQ(it.reason.find("would not fit") != std::string::npos, it.there) << it.reason;
        EXPECT_EQ(it.with_tokens_per_second, 0);
        EXPECT_EQ(it.without_tokens_per_second > 0, it.there);
      }
    }
  }
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
    EXPECT_EQ(worker.slower > 100, !alike);
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
