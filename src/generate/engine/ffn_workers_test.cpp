// With workers that compute feed-forward parts of a dense model logits are those of one machine, bit for bit: single
// tokens and passes of several, with little memory on either side, and whatever goes wrong in the middle of a token.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "generate/engine/engine_impl.h"
#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "load/worker_serving_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kFfnContext = 128;
constexpr uint32_t kFfnPass = 16;
constexpr std::chrono::hours kFfnPatience{1};  // for what comes, however slow this machine is

EngineOptions ffn_options(const std::filesystem::path& model, uint64_t memory) {
  EngineOptions options;
  options.model = model;
  options.gpu = "none";
  options.memory = memory;
  options.context = kFfnContext;
  options.ubatch = options.outputs = kFfnPass;
  options.threads = 1;
  options.resident = false;
  options.repack = false;  // as the reference
  options.run_history = false;
  return options;
}

PlanOverrides ffn_streamed() {
  PlanOverrides overrides;
  overrides.mode = Mode::kDenseStreaming;
  overrides.alike_workers = true;  // so that they are asked however slow this machine is
  overrides.worker_patience = kFfnPatience;
  return overrides;
}

std::unique_ptr<Engine> open_with_ffn(const std::vector<std::string>& workers, EngineOptions options,
                                      const PlanOverrides& overrides = ffn_streamed()) {
  options.workers = workers;
  auto engine = open_overridden(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? std::move(*engine) : nullptr;
}

// The least with which the model opens beside that many workers, or a tenth more: nearly all is streamed.
uint64_t least_ffn_memory(const std::filesystem::path& model, size_t workers) {
  uint64_t low = 0;
  uint64_t high = open_model(model)->bytes + 32 * kMiB;
  while (high - low > high / 10) {
    const uint64_t middle = low + (high - low) / 2;
    EngineOptions options = ffn_options(model, middle);
    for (size_t i = 0; i < workers; ++i) {
      options.workers.push_back(fmt::format("127.0.0.1:{}", i + 1));  // where nobody listens
    }
    (open_overridden(options, ffn_streamed()) ? high : low) = middle;
  }
  return high;
}

// Passes of several tokens, then single ones.
std::vector<Expected> expected_of_dense(const std::filesystem::path& model) {
  Reference reference(model, kFfnContext, kFfnPass, 1);
  return expect_all(reference, {7, 3}, test_tokens(6));
}

void expect_of_dense(Engine& engine, const std::vector<Expected>& expected, const std::string& where) {
  auto session = engine.new_session();
  ASSERT_TRUE(session) << session.error().message;
  expect_same_logits(**session, expected, where);
}

// Of a worker, as little as it opens with, or a tenth more.
uint64_t least_worker_memory(const std::filesystem::path& model) {
  uint64_t low = 0;
  uint64_t high = 64 * kMiB;
  while (high - low > high / 10) {
    WorkerRequest request;
    request.model = model;
    request.memory = low + (high - low) / 2;
    (open_worker(request) ? high : low) = *request.memory;
  }
  return high;
}

class FfnWorkers : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    model_ = model_file(GetParam(), folder_.path());
    ASSERT_FALSE(model_.empty());
    expected_ = expected_of_dense(model_);
  }

  TempDir folder_;
  std::filesystem::path model_;
  std::vector<Expected> expected_;
};

TEST_P(FfnWorkers, LogitsAreThoseOfOneMachine) {
  for (const size_t count : {1, 3}) {
    FakeWorkers workers(model_);
    for (size_t i = 0; i < count; ++i) {
      workers.add();
    }
    const auto engine = open_with_ffn(workers.addresses(), ffn_options(model_, least_ffn_memory(model_, count)));
    ASSERT_NE(engine, nullptr);
    ASSERT_NO_FATAL_FAILURE(expect_of_dense(*engine, expected_, fmt::format("{} workers", count)));
    const EngineStats stats = engine->stats();
    ASSERT_EQ(stats.workers.size(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(stats.workers[i].joined, 1U);
      EXPECT_EQ(stats.workers[i].rows_done_here, 0U);
      EXPECT_GT(stats.workers[i].asks, 0U) << "of " << count << " workers one was not asked";
      EXPECT_GT(stats.workers[i].rows, stats.workers[i].asks) << "none of a pass of several tokens";
      EXPECT_FALSE(workers.at(i).warm().empty()) << "it does not know its layers";
    }
  }
}

// That of `hypura worker`: with memory for some parts, and for all.
TEST_P(FfnWorkers, LogitsAreThoseOfOneMachineWithARealOne) {
  const uint64_t memory = least_ffn_memory(model_, 1);
  for (const uint64_t of_worker : {least_worker_memory(model_), 64 * kMiB}) {
    ServingWorker worker(of_worker, std::chrono::seconds(60), model_);
    const auto engine = open_with_ffn({fmt::format("127.0.0.1:{}", worker.port())}, ffn_options(model_, memory));
    ASSERT_NE(engine, nullptr);
    for (int turn = 0; turn < 2; ++turn) {
      ASSERT_NO_FATAL_FAILURE(expect_of_dense(*engine, expected_, fmt::format("turn {}", turn)));
    }
    const WorkerCounters it = engine->stats().workers.at(0);
    EXPECT_EQ(it.losses, 0U);
    EXPECT_EQ(it.rows_done_here, 0U);
    EXPECT_GT(it.asks, 0U);
    EXPECT_GT(it.read_bytes, 0U);
    EXPECT_TRUE(of_worker < 64 * kMiB || it.expert_hits > 0) << "nothing stays in a memory for all";
  }
}

ModelSpec mixed_dense_spec() {
  ModelSpec spec = small_spec("dense", "Q4_K", "Q6_K");
  spec.experts = 0;
  return spec;
}

INSTANTIATE_TEST_SUITE_P(Models, FfnWorkers,
                         testing::Values(ModelCase{"stories", "hypura-stories-draft.gguf", {}},
                                         ModelCase{"dense", "", small_spec("dense", "Q4_0")},
                                         ModelCase{"mixed", "", mixed_dense_spec()}),
                         [](const auto& it) { return it.param.name; });

class FfnWorkersThatFail : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    expected_ = expected_of_dense(kModel);
    memory_ = least_ffn_memory(kModel, 2);
  }

  inline static const auto kModel = std::filesystem::path(HYPURA_SOURCE_DIR) / "models/hypura-stories-draft.gguf";
  inline static std::vector<Expected> expected_;
  inline static uint64_t memory_ = 0;
};

TEST_F(FfnWorkersThatFail, InTheMiddleOfATokenTheirPartIsComputedHere) {
  for (const WorkerFault fault :
       {WorkerFault::kCloses, WorkerFault::kGarbage, WorkerFault::kWrongLength, WorkerFault::kRefuses}) {
    FakeWorkers workers(kModel);
    workers.manner().fault = fault;
    workers.manner().fault_at = 8;
    workers.add();
    workers.manner().fault = WorkerFault::kNone;
    workers.add();
    const auto engine = open_with_ffn(workers.addresses(), ffn_options(kModel, memory_));
    ASSERT_NE(engine, nullptr);
    ASSERT_NO_FATAL_FAILURE(expect_of_dense(*engine, expected_, fmt::format("fault {}", static_cast<int>(fault))));
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.workers[0].losses, 1U);
    EXPECT_GE(stats.workers[0].rows_done_here, 1U);
    EXPECT_EQ(stats.workers[1].losses, 0U);
    EXPECT_GT(stats.workers[1].rows, 0U);
  }
}

// It may be given up before it falls silent too, where this machine is slow.
TEST_F(FfnWorkersThatFail, ASilentOneIsGivenUp) {
  FakeWorkers workers(kModel);
  workers.manner().fault = WorkerFault::kSilent;
  workers.manner().fault_at = 8;
  workers.add();
  PlanOverrides overrides = ffn_streamed();
  overrides.worker_patience = std::chrono::milliseconds(200);
  const auto engine = open_with_ffn(workers.addresses(), ffn_options(kModel, memory_), overrides);
  ASSERT_NE(engine, nullptr);
  expect_of_dense(*engine, expected_, "silent");
  EXPECT_GE(engine->stats().workers[0].losses, 1U);
}

TEST_F(FfnWorkersThatFail, AKilledOneIsDoneWithout) {
  FakeWorkers workers(kModel);
  FakeWorker& worker = workers.add();
  const auto engine = open_with_ffn(workers.addresses(), ffn_options(kModel, memory_));
  ASSERT_NE(engine, nullptr);
  worker.hold();
  std::thread killer([&] {
    worker.wait_until_held();
    worker.stop();
  });
  expect_of_dense(*engine, expected_, "killed");
  killer.join();
  EXPECT_EQ(engine->stats().workers[0].losses, 1U);
  EXPECT_EQ(engine->stats().workers[0].joined, 0U);
}

TEST_F(FfnWorkersThatFail, ThoseThatCannotHelpAreDoneWithout) {
  FakeWorkers workers(kModel);
  workers.manner().identity.fingerprint += 1;
  workers.add();
  workers.manner().identity.fingerprint -= 1;
  workers.add().stop();
  const auto engine = open_with_ffn(workers.addresses(), ffn_options(kModel, memory_));
  ASSERT_NE(engine, nullptr);
  expect_of_dense(*engine, expected_, "none helps");
  for (const WorkerCounters& it : engine->stats().workers) {
    EXPECT_EQ(it.joined, 0U) << it.name;
    EXPECT_EQ(it.asks, 0U) << it.name;
  }
}

// What messages take is out of the budget, and in the plan.
TEST_F(FfnWorkersThatFail, NoMemoryIsTakenThatIsNotReserved) {
  FakeWorkers workers(kModel);
  workers.add();
  const auto engine = open_with_ffn(workers.addresses(), ffn_options(kModel, memory_));
  ASSERT_NE(engine, nullptr);
  const auto messages = [](const std::vector<LedgerLine>& ledger) {
    return std::accumulate(ledger.begin(), ledger.end(), uint64_t{0}, [](uint64_t bytes, const LedgerLine& it) {
      return bytes + (it.purpose == Purpose::kWorkerMessages ? it.bytes : 0);
    });
  };
  EXPECT_GT(messages(engine->ledger()), 0U);
  EXPECT_EQ(messages(engine->ledger()), messages(engine->plan().ledger));
}

}  // namespace
}  // namespace hypura
