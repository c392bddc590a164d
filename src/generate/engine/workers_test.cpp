// With workers logits are those of one machine, bit for bit: for models of each kind, few slots to many, one to three
// workers, prompts, passes of several sequences, and whatever goes wrong with a worker in the middle of a pass.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include "generate/engine/engine_impl.h"
#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "history/model_fingerprint.h"
#include "load/worker_serving_for_test.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

constexpr uint32_t kContext = 128;
constexpr uint32_t kPass = 16;
constexpr uint64_t kFewSlots = 22 * kMiB;  // of the stories model
constexpr std::chrono::hours kLong{1};     // for what comes, however slow this machine is
constexpr uint64_t kEnough = 512 * kMiB;   // for all of each model
const auto kStories = std::filesystem::path(HYPURA_SOURCE_DIR) / "models/hypura-stories-moe.gguf";

EngineOptions options_for(const std::filesystem::path& model, uint64_t memory = kFewSlots) {
  EngineOptions options;
  options.model = model;
  options.gpu = "none";
  options.memory = memory;
  options.context = kContext;
  options.ubatch = options.outputs = kPass;
  options.threads = 1;
  options.resident = false;
  options.repack = false;  // as the reference
  options.run_history = false;
  return options;
}

PlanOverrides alike() {
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  overrides.alike_workers = true;  // so that they are asked, and waited for, however slow this machine is
  overrides.worker_patience = kLong;
  return overrides;
}

std::unique_ptr<Engine> open_with(const FakeWorkers& workers, EngineOptions options,
                                  const PlanOverrides& overrides = alike()) {
  options.workers = workers.addresses();
  auto engine = open_overridden(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? std::move(*engine) : nullptr;
}

// The least with which the model opens beside them, or a tenth more: few slots.
uint64_t least_memory(const std::filesystem::path& model, const FakeWorkers& workers) {
  uint64_t low = 0;
  uint64_t high = open_model(model)->bytes + 32 * kMiB;
  while (high - low > high / 10) {
    const uint64_t middle = low + (high - low) / 2;
    EngineOptions options = options_for(model, middle);
    options.workers = workers.addresses();
    (open_overridden(options, alike()) ? high : low) = middle;
  }
  return high;
}

// A prompt, and single tokens.
std::vector<Expected> expected_of(const std::filesystem::path& model) {
  Reference reference(model, kContext, kPass, 1);
  return expect_all(reference, {7}, test_tokens(6));
}

void expect_those(Engine& engine, const std::vector<Expected>& expected, const std::string& where) {
  auto session = engine.new_session();
  ASSERT_TRUE(session) << session.error().message;
  expect_same_logits(**session, expected, where);
}

class Workers : public testing::TestWithParam<ModelCase> {};

TEST_P(Workers, LogitsAreThoseOfOneMachine) {
  const TempDir folder;
  const std::filesystem::path path = model_file(GetParam(), folder.path());
  ASSERT_FALSE(path.empty());
  const std::vector<Expected> expected = expected_of(path);
  struct Case {
    size_t workers;
    uint32_t layer_slots;
    bool few_slots_here;
  };
  for (const auto& [count, layer_slots, few] : {Case{1, 1, true}, Case{3, 4, true}, Case{2, 1000, false}}) {
    FakeWorkers workers(path);
    workers.manner().layer_slots = layer_slots;
    for (size_t i = 0; i < count; ++i) {
      workers.add();
    }
    const uint64_t memory = few ? least_memory(path, workers) : kEnough;
    const auto engine = open_with(workers, options_for(path, memory));
    ASSERT_NE(engine, nullptr);
    ASSERT_NO_FATAL_FAILURE(expect_those(*engine, expected, fmt::format("{} workers", count)));
    const EngineStats stats = engine->stats();
    ASSERT_EQ(stats.workers.size(), count);
    for (const WorkerCounters& it : stats.workers) {
      EXPECT_EQ(it.joined, 1U);
      EXPECT_EQ(it.rows_done_here, 0U);
      EXPECT_TRUE(!few || it.experts > 0) << "of " << count << " workers one was not asked";
      EXPECT_GE(it.rows, it.experts);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Workers,
                         testing::Values(ModelCase{"stories_moe", "hypura-stories-moe.gguf", {}},
                                         ModelCase{"gpt_oss", "", small_spec("gpt-oss", "Q8_0")},
                                         ModelCase{"fused", "", small_spec("fused", "Q4_0")}),
                         [](const auto& it) { return it.param.name; });

// Prompts as they are asked for: in one message for each layer, of as many asks as it takes.
class WorkersOfPrompts : public testing::TestWithParam<ModelCase> {};

constexpr uint32_t kLongPass = 256;

EngineOptions prompt_options(const std::filesystem::path& model, uint64_t memory) {
  EngineOptions options = options_for(model, memory);
  options.context = options.ubatch = options.outputs = kLongPass;
  return options;
}

TEST_P(WorkersOfPrompts, LogitsAreThoseOfOneMachine) {
  const TempDir folder;
  const std::filesystem::path path = model_file(GetParam(), folder.path());
  ASSERT_FALSE(path.empty());
  Reference reference(path, kLongPass, kLongPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {1, 31, 32, 33, 200}, {});
  struct Case {
    size_t workers;
    uint32_t most_pairs;
    uint64_t asks;  // of all workers' prompts, at least, for each layer
    uint64_t fault_at;
  };
  for (const auto& [count, most_pairs, asks, fault_at] :
       {Case{1, kMostPairs, 4, 0}, Case{2, 200, 8, 0}, Case{2, 40, 6, 0}, Case{1, 200, 0, 11}}) {
    SCOPED_TRACE(fmt::format("{} workers, {} pairs", count, most_pairs));
    FakeWorkers workers(path);
    workers.manner().most_pairs = most_pairs;
    workers.manner().layer_slots = 2;
    workers.manner().fault = fault_at > 0 ? WorkerFault::kCloses : WorkerFault::kNone;
    workers.manner().fault_at = fault_at;
    std::vector<FakeWorker*> all;
    for (size_t i = 0; i < count; ++i) {
      all.push_back(&workers.add());
    }
    const auto engine = open_with(workers, prompt_options(path, open_model(path)->bytes / 2 + 24 * kMiB));
    ASSERT_NE(engine, nullptr);
    ASSERT_NO_FATAL_FAILURE(expect_those(*engine, expected, "with workers"));
    const EngineStats stats = engine->stats();
    uint64_t asked = 0;
    for (size_t i = 0; i < count; ++i) {
      asked += all[i]->prompt_asks();
      EXPECT_GT(all[i]->ahead(), 0U) << "nothing was read ahead";
      EXPECT_GT(stats.workers[i].rows, stats.workers[i].experts);
      EXPECT_EQ(stats.workers[i].losses, fault_at > 0 ? 1U : 0U);
      EXPECT_EQ(stats.workers[i].rows_done_here > 0, fault_at > 0);
    }
    EXPECT_GE(asked, asks * static_cast<uint64_t>(open_model(path)->layers));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, WorkersOfPrompts,
                         testing::Values(ModelCase{"stories_moe", "hypura-stories-moe.gguf", {}},
                                         ModelCase{"gpt_oss", "", small_spec("gpt-oss", "Q8_0")}),
                         [](const auto& it) { return it.param.name; });

// A worker as it is, which repacks what this machine repacks; and not where this one does not.
TEST(WorkersThatAreReal, RepackAsThisMachineDoes) {
  ServingWorker worker(64 * kMiB);
  for (const bool repack : {true, false}) {
    EngineOptions options = prompt_options(kStories, 40 * kMiB);
    options.repack = repack;
    options.repacked = false;
    const auto logits = [&](uint64_t& rows) {
      const auto engine = open_overridden(options, alike());
      EXPECT_TRUE(engine) << engine.error().message;
      const auto session = (*engine)->new_session();
      std::vector<float> all;
      for (const size_t length : {200, 1, 9, 40}) {
        const auto some = (*session)->evaluate(test_tokens(length));
        EXPECT_TRUE(some) << some.error().message;
        all.insert(all.end(), some->begin(), some->end());
      }
      for (const WorkerCounters& it : (*engine)->stats().workers) {
        EXPECT_EQ(it.losses, 0U);
        rows += it.rows;
      }
      return all;
    };
    uint64_t rows = 0;
    options.workers.clear();
    const std::vector<float> alone = logits(rows);
    EXPECT_EQ(rows, 0U);
    options.workers = {fmt::format("127.0.0.1:{}", worker.port())};
    const std::vector<float> together = logits(rows);
    EXPECT_GT(rows, 1000U);
    ASSERT_EQ(alone.size(), together.size());
    EXPECT_EQ(std::memcmp(alone.data(), together.data(), alone.size() * sizeof(float)), 0) << repack;
  }
}

// Decode passes with a token of each of eight sequences, at last with two that were drafted for one of them: rows of an
// expert are of several tokens.
TEST(WorkersOfSeveral, LogitsOfSeveralSequencesAndOfDraftsAreThoseOfOneMachine) {
  constexpr uint32_t kTalkers = 8;
  Reference reference(kStories, kContext * kTalkers, kPass, 1, kTalkers);
  FakeWorkers workers(kStories);
  workers.add();
  workers.add();
  EngineOptions options = options_for(kStories);
  options.sequences = kTalkers;
  options.workers = workers.addresses();
  PlanOverrides overrides = alike();
  overrides.pool = kContext * kTalkers;
  auto engine = open_engine(options, overrides);
  ASSERT_TRUE(engine) << engine.error().message;
  LlamaPassModel model(**engine, kTalkers);
  const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
  constexpr uint32_t kLast = 4;
  for (uint32_t position = 0; position <= kLast; ++position) {
    std::vector<PassToken> pass;
    for (uint32_t talker = 0; talker < kTalkers; ++talker) {
      pass.push_back({test_tokens(40)[position * kTalkers + talker], position, talker, true});
    }
    for (uint32_t draft = 1; position == kLast && draft <= 2; ++draft) {
      pass.push_back({test_tokens(40)[draft], position + draft, 0, true});
    }
    ASSERT_TRUE(reference.decode(pass));
    const std::vector<float> expected = reference.logits(pass.size());
    const Status status = model.pass(pass, 0);
    ASSERT_TRUE(status) << status.error().message;
    for (size_t i = 0; i < pass.size(); ++i) {
      EXPECT_EQ(std::memcmp(model.logits(i), &expected[i * vocabulary], vocabulary * sizeof(float)), 0)
          << "pass " << position << ", token " << i;
    }
  }
  for (const WorkerCounters& it : (*engine)->stats().workers) {
    EXPECT_GT(it.rows, it.experts) << "no expert was chosen by two";
  }
}

// A text with drafts of a length that does not depend on time: tokens and log-probabilities, to the last bit, are those
// of one machine, whatever is in memory there, and of each run.
TEST(WorkersOfDrafts, AnAnswerIsThatOfOneMachine) {
  Generator::Options options;
  options.engine = options_for(kStories);
  options.engine.outputs = 0;
  options.engine.ubatch = 32;
  options.engine.draft.model = kStories.parent_path() / "hypura-stories-draft.gguf";
  options.engine.draft.tokens = 3;
  options.parallel = 1;
  struct Said {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    uint64_t drafted = 0;
    uint64_t accepted = 0;
    bool operator==(const Said&) const = default;
  };
  uint64_t rows = 0;
  const auto say = [&](uint64_t memory) {
    options.engine.memory = memory;
    const auto generator = open(options, alike());
    EXPECT_NE(generator, nullptr);
    AnswerRequest request = continuing(kBeginnings[0], 60);
    request.logprobs = true;
    const Heard heard = ask(*generator, request);
    EXPECT_FALSE(heard.end.error);
    const EngineStats stats = generator->stats().engine;
    for (const WorkerCounters& it : stats.workers) {
      rows += it.rows;
    }
    Said said = {heard.end.tokens, {}, stats.drafted_tokens, stats.accepted_draft_tokens};
    for (const TokenLogprob& it : heard.logprobs) {
      said.logprobs.push_back(it.logprob);
    }
    return said;
  };
  const Said alone = say(34 * kMiB);
  EXPECT_GT(alone.accepted, 0U);
  EXPECT_GT(alone.drafted, alone.accepted);
  EXPECT_GT(alone.logprobs.size(), 20U);
  EXPECT_EQ(say(kEnough), alone) << "with all experts in memory";
  FakeWorkers workers(kStories);
  workers.add();
  workers.add();
  options.engine.workers = workers.addresses();
  EXPECT_EQ(say(34 * kMiB), alone) << "beside two workers";
  EXPECT_GT(rows, 100U);
}

// First of a prompt, whose six layers make an ask each, then of a token.
TEST(WorkersThatFail, InTheMiddleOfAPassTheirRowsAreComputedHere) {
  const std::vector<Expected> expected = expected_of(kStories);
  for (const auto& [fault, fault_at] : {std::pair<WorkerFault, uint64_t>{WorkerFault::kCloses, 3},
                                        {WorkerFault::kRefuses, 3},
                                        {WorkerFault::kCloses, 8},
                                        {WorkerFault::kGarbage, 8},
                                        {WorkerFault::kWrongLength, 8},
                                        {WorkerFault::kRefuses, 8}}) {
    FakeWorkers workers(kStories);
    workers.manner().fault = fault;
    workers.manner().fault_at = fault_at;
    workers.add();
    workers.manner().fault = WorkerFault::kNone;
    workers.add();
    const auto engine = open_with(workers, options_for(kStories));
    ASSERT_NE(engine, nullptr);
    ASSERT_NO_FATAL_FAILURE(expect_those(*engine, expected, fmt::format("fault {}", static_cast<int>(fault))));
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.workers[0].losses, 1U);
    EXPECT_GE(stats.workers[0].rows_done_here, 1U);
    EXPECT_EQ(stats.workers[1].losses, 0U);
    EXPECT_GT(stats.workers[1].rows, 0U);
  }
}

// It may be given up before it falls silent too, where this machine is slow.
TEST(WorkersThatFail, ASilentOneIsGivenUp) {
  const std::vector<Expected> expected = expected_of(kStories);
  FakeWorkers workers(kStories);
  workers.manner().fault = WorkerFault::kSilent;
  workers.manner().fault_at = 8;
  workers.add();
  PlanOverrides overrides = alike();
  overrides.worker_patience = std::chrono::milliseconds(200);
  const auto engine = open_with(workers, options_for(kStories), overrides);
  ASSERT_NE(engine, nullptr);
  expect_those(*engine, expected, "silent");
  EXPECT_GE(engine->stats().workers[0].losses, 1U);
}

TEST(WorkersThatFail, AKilledOneIsDoneWithout) {
  const std::vector<Expected> expected = expected_of(kStories);
  FakeWorkers workers(kStories);
  FakeWorker& worker = workers.add();
  const auto engine = open_with(workers, options_for(kStories));
  ASSERT_NE(engine, nullptr);
  const auto session = engine->new_session();
  worker.hold();
  std::thread killer([&] {
    worker.wait_until_held();
    worker.stop();
  });
  expect_same_logits(**session, expected, "killed");
  killer.join();
  EXPECT_EQ(engine->stats().workers[0].losses, 1U);
  EXPECT_EQ(engine->stats().workers[0].joined, 0U);
}

TEST(WorkersThatFail, ASlowOneIsWaitedFor) {
  const std::vector<Expected> expected = expected_of(kStories);
  FakeWorkers workers(kStories);
  FakeWorker& worker = workers.add();
  const auto engine = open_with(workers, options_for(kStories));
  ASSERT_NE(engine, nullptr);
  worker.hold();
  std::thread slow([&] {
    worker.wait_until_held();
    worker.release();
  });
  expect_those(*engine, expected, "slow");
  slow.join();
}

TEST(WorkersThatFail, ThoseThatCannotHelpAreDoneWithout) {
  const std::vector<Expected> expected = expected_of(kStories);
  FakeWorkers workers(kStories);
  const WorkerIdentity good = workers.manner().identity;
  workers.manner().identity.fingerprint += 1;
  workers.add();
  workers.manner().identity = good;
  workers.manner().identity.repacked = 1;
  workers.add();
  workers.manner().identity = good;
  workers.add().stop();
  const auto engine = open_with(workers, options_for(kStories));
  ASSERT_NE(engine, nullptr);
  expect_those(*engine, expected, "none helps");
  for (const WorkerCounters& it : engine->stats().workers) {
    EXPECT_EQ(it.joined, 0U) << it.name;
    EXPECT_EQ(it.asks, 0U) << it.name;
  }
}

// What earlier runs used, they are told to have in memory: first what this machine has no room for.
TEST(WorkersAreWarmed, ByWhatEarlierRunsUsed) {
  const TempDir caches;
  const EnvironmentVariable variable("XDG_CACHE_HOME", caches.path().c_str());
  EngineOptions options = options_for(kStories);
  options.run_history = true;
  {
    const auto engine = open_overridden(options, alike());
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    GenerateOptions generate = greedy(90);
    generate.sampling.temperature = 1;  // greedy stories end early
    generate.sampling.seed = 1;
    ASSERT_TRUE((*session)->complete("Once upon a time there was a little", generate));
    ASSERT_TRUE((*engine)->close());
  }
  FakeWorkers workers(kStories);
  FakeWorker& worker = workers.add();
  const auto engine = open_with(workers, options);
  ASSERT_NE(engine, nullptr);
  const std::vector<WarmExpert> wanted = worker.warm();
  ASSERT_FALSE(wanted.empty());
  std::set<std::pair<int, int>> all;
  for (const WarmExpert& it : wanted) {
    EXPECT_TRUE(all.emplace(it.layer, it.expert).second) << "twice";
  }
}

// What messages and books take is out of the budget.
TEST(WorkersMemory, IsReserved) {
  FakeWorkers workers(kStories);
  workers.add();
  EngineOptions options = options_for(kStories);
  const auto alone = open_overridden(options, {});
  options.workers = workers.addresses();
  options.split = WorkerSplit::kExperts;  // however long a round trip takes
  const auto with = open_overridden(options, {});
  ASSERT_TRUE(alone);
  ASSERT_TRUE(with);
  const auto buffers = [](const Engine& engine) {
    uint64_t bytes = 0;
    uint64_t sum = 0;
    for (const LedgerLine& line : engine.ledger()) {
      bytes += line.purpose == Purpose::kExpertBuffers ? line.bytes : 0;
      sum += line.bytes;
    }
    EXPECT_LE(sum, engine.plan().budget + engine.plan().process_overhead);
    return bytes;
  };
  EXPECT_GT(buffers(**with), buffers(**alone));
}

TEST(WorkersRefused, ByName) {
  const auto refusal = [](const std::function<void(EngineOptions&)>& change) {
    EngineOptions options = options_for(kStories);
    change(options);
    const auto engine = Engine::open(options);
    EXPECT_FALSE(engine);
    EXPECT_EQ(engine ? ErrorCode::kInternal : engine.error().code, ErrorCode::kUsage);
    return engine ? std::string() : engine.error().message;
  };
  EXPECT_THAT(refusal([](EngineOptions& it) { it.split = WorkerSplit::kLayers; }), HasSubstr("--split layers"));
  EXPECT_THAT(refusal([](EngineOptions& it) { it.workers = {"box"}; }), HasSubstr("'box'"));
  EXPECT_THAT(refusal([](EngineOptions& it) { it.workers = {"127.0.0.1:1", "127.0.0.1:1"}; }), HasSubstr("twice"));
  EXPECT_THAT(refusal([](EngineOptions& it) { it.workers = {"10.0.0.1:1"}; }),
              testing::AllOf(HasSubstr("10.0.0.1:1"), HasSubstr("--trust-network")));
  EXPECT_THAT(refusal([](EngineOptions& it) { it.workers.assign(kMostWorkers + 1, "127.0.0.1:1"); }),
              HasSubstr("at most"));
  EXPECT_THAT(refusal([](EngineOptions& it) {
                it.workers = {"127.0.0.1:1"};
                it.gpu = "CPU";
              }),
              HasSubstr("--gpu none"));
}

}  // namespace
}  // namespace hypura
