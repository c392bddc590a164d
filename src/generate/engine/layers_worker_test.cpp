// With a worker that computes whole layers, attention and keys and values included, logits are those of one machine,
// bit for bit; and whatever goes wrong there, an answer ends with an error, never the process.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "generate/engine/engine_impl.h"
#include "generate/engine/fake_layers_worker_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "load/worker_serving_for_test.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint32_t kLayersContext = 256;
constexpr uint32_t kLayersPass = 16;
constexpr uint64_t kLayersMemory = 512 * kMiB;  // enough for all that is opened here

EngineOptions layers_options(const std::filesystem::path& model, const FakeLayersWorker* worker) {
  EngineOptions options;
  options.model = model;
  options.gpu = "none";
  options.memory = kLayersMemory;
  options.context = kLayersContext;
  options.ubatch = options.outputs = kLayersPass;
  options.threads = 1;
  options.repack = false;  // as the reference
  options.run_history = false;
  if (worker != nullptr) {
    options.split = WorkerSplit::kLayers;
    options.workers = {worker->address()};
  }
  return options;
}

// `layers` there; `streamed`: what is here comes from disk.
PlanOverrides layers_there(uint32_t layers, bool streamed = false) {
  PlanOverrides overrides;
  overrides.worker_patience = std::chrono::hours(1);  // for what comes, however slow this machine is
  overrides.worker_layers = layers;
  if (streamed) {
    overrides.mode = Mode::kDenseStreaming;
    overrides.range_bytes = 64 * kKiB;
  }
  return overrides;
}

const std::filesystem::path kStoriesDraft =
    std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";

std::unique_ptr<EngineImpl> open_layers(const EngineOptions& options, const PlanOverrides& overrides) {
  auto engine = open_engine(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? std::move(*engine) : nullptr;
}

uint32_t planned_there(const EngineImpl& engine) {
  return engine.plan().workers.empty() ? 0 : engine.plan().workers.front().layers;
}

constexpr uint64_t kLittleThere = 24 * kMiB;
constexpr uint64_t kGreeting = 80 * kKiB;  // a connection has no more before anything is opened

ModelSpec gemma_spec() {
  ModelSpec spec = small_spec("gemma4", "Q8_0");
  spec.skew = 0;
  return spec;
}

class LayersWorkerExactness : public testing::TestWithParam<ModelCase> {};

TEST_P(LayersWorkerExactness, LogitsAreThoseOfOneMachine) {
  const TempDir folder;
  const std::filesystem::path path = model_file(GetParam(), folder.path());
  ASSERT_FALSE(path.empty());
  FakeLayersWorker worker(path);
  Reference reference(path, kLayersContext, kLayersPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {1, 40}, test_tokens(3));
  const auto all = static_cast<uint32_t>(open_model(path)->layers);
  for (const uint32_t layers : {1U, all / 2, all}) {
    for (const bool streamed : {false, true}) {
      const EngineOptions options = layers_options(path, &worker);
      const auto engine = open_layers(options, layers_there(layers, streamed && layers < all));
      ASSERT_TRUE(engine);
      const std::string where = engine->plan().sentence;
      ASSERT_EQ(planned_there(*engine), layers) << where;
      ASSERT_EQ(worker.layers().size(), layers);
      EXPECT_EQ(worker.layers().front(), all - layers) << "the last ones";
      const auto session = engine->new_session();
      ASSERT_TRUE(session) << session.error().message;
      expect_same_logits(**session, expected, where);
      // Where Gemma 4 has all of its layers there, its embeddings are scaled there too, and come back for what is none
      // of a layer's: two visits more.
      constexpr uint64_t kPasses = 1 + 3 + 3 + 3;
      const uint64_t visits = GetParam().spec.arch == "gemma4" && layers == all ? 3 : 1;
      EXPECT_EQ(engine->stats().workers.front().asks, visits * kPasses) << where;
      EXPECT_GT(worker.held(), kGreeting) << "keys and values";
    }
  }
  EXPECT_LT(worker.held(), kGreeting) << "what is closed has no memory there";
}

INSTANTIATE_TEST_SUITE_P(Models, LayersWorkerExactness,
                         testing::Values(ModelCase{"stories_draft", "hypura-stories-draft.gguf", {}},
                                         ModelCase{"dense", "", small_spec("dense", "Q4_0")},
                                         ModelCase{"dense_split", "", small_spec("dense", "Q8_0", "", 3)},
                                         ModelCase{"gemma4", "", gemma_spec()}),
                         [](const auto& its) { return its.param.name; });

TEST(LayersWorker, SequencesSharePassesWithEitherKvCache) {
  constexpr uint32_t kSharers = 3;
  for (const auto& [path, type] :
       {std::pair(kStoriesDraft, KvType::kF16), {kStoriesDraft, KvType::kQ8_0}, {kDemoModel, KvType::kF16}}) {
    FakeLayersWorker worker(path);
    EngineOptions options = layers_options(path, &worker);
    options.sequences = kSharers;
    options.kv_type = type;
    const auto engine = open_layers(options, layers_there(3));
    EngineOptions of_one = layers_options(path, nullptr);
    of_one.sequences = kSharers;
    of_one.kv_type = type;
    const auto alone = open_layers(of_one, {});
    ASSERT_TRUE(engine && alone);
    LlamaPassModel model(*engine, kSharers);
    LlamaPassModel expected(*alone, kSharers);
    const auto vocabulary = static_cast<size_t>(engine->vocabulary().size());
    std::vector<uint32_t> position(kSharers, 0);
    const std::vector<std::vector<std::pair<uint32_t, uint32_t>>> passes = {
        {{0, 5}}, {{1, 12}}, {{0, 1}, {1, 1}}, {{2, 14}, {0, 1}, {1, 1}}, {{0, 1}, {1, 1}, {2, 1}}, {{1, 3}, {2, 1}}};
    for (const auto& counts : passes) {
      std::vector<PassToken> tokens;
      for (const auto& [sequence, count] : counts) {
        for (uint32_t i = 0; i < count; ++i) {
          const auto token = static_cast<int32_t>(300 + (sequence * 917 + position[sequence] * 131) % 4000);
          tokens.push_back({token, position[sequence]++, sequence, true});
        }
      }
      const Status status = model.pass(tokens, static_cast<uint32_t>(tokens.size()));
      ASSERT_TRUE(status) << status.error().message;
      ASSERT_TRUE(expected.pass(tokens, static_cast<uint32_t>(tokens.size())));
      for (size_t i = 0; i < tokens.size(); ++i) {
        ASSERT_EQ(std::memcmp(model.logits(i), expected.logits(i), vocabulary * sizeof(float)), 0)
            << to_string(type) << ": token " << i << " of " << tokens.size();
      }
    }
  }
}

// The same graph is sent once; what goes over the network is counted on both sides.
TEST(LayersWorker, ATokenIsOneShortVisit) {
  FakeLayersWorker worker(kStoriesDraft);
  const auto engine = open_layers(layers_options(kStoriesDraft, &worker), layers_there(4));
  ASSERT_TRUE(engine);
  const auto session = engine->new_session();
  ASSERT_TRUE((*session)->evaluate(test_tokens(3)));
  ASSERT_TRUE((*session)->evaluate(test_tokens(1)));
  const EngineStats before = engine->stats();
  const uint64_t described = worker.descriptions();
  ASSERT_TRUE((*session)->evaluate(test_tokens(1)));
  const EngineStats token = engine->stats().since(before);
  EXPECT_EQ(worker.descriptions(), described);
  EXPECT_EQ(token.workers.front().asks, 1U);
  EXPECT_EQ(token.workers.front().rows, 1U);
  EXPECT_LT(token.workers.front().sent_bytes, 16 * kKiB) << "a row, a mask, positions";
  EXPECT_LT(token.workers.front().received_bytes, 8 * kKiB) << "a row";
  EXPECT_EQ(engine->stats().workers.front().sent_bytes, worker.received_bytes());
  EXPECT_EQ(engine->stats().workers.front().received_bytes, worker.sent_bytes());
  EXPECT_GT(engine->stats().workers.front().wait_seconds, 0);
}

// What is kept of a conversation beyond the context comes from the worker, and goes back there after a restart.
TEST(LayersWorker, AKeptConversationGoesOnWithTheSameBits) {
  const TempDir folder;
  const EnvironmentVariable caches("XDG_CACHE_HOME", folder.path().c_str());
  FakeLayersWorker worker(kStoriesDraft);
  std::string story;
  for (int i = 0; i < 46; ++i) {
    story += "Once upon a time there was a small dog number " + std::to_string(i) + ". ";
  }
  struct Told {
    std::vector<float> scores;
    uint64_t restored = 0;
  };
  const auto tell = [&](const FakeLayersWorker* its) {
    Generator::Options options;
    options.engine = layers_options(kStoriesDraft, its);
    options.engine.context = 1024;
    options.engine.ubatch = options.engine.outputs = 64;  // of what is kept a multiple
    options.engine.keep_kv = its != nullptr;
    options.engine.kv_disk = 64 * kMiB;
    const auto generator = open_overridden(options, its != nullptr ? layers_there(3) : PlanOverrides());
    EXPECT_TRUE(generator) << generator.error().message;
    AnswerRequest request;
    request.prompt = story;
    request.sampling.temperature = 0;
    request.max_tokens = 6;
    request.logprobs = true;
    const auto answer = (*generator)->generate(request);
    EXPECT_TRUE(answer) << answer.error().message;
    Told told;
    for (const auto& it : answer->said.logprobs) {
      told.scores.push_back(it.logprob);
    }
    for (int i = 0; its != nullptr && i < 5000 && (*generator)->stats().engine.kv_disk_entries < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    told.restored = (*generator)->stats().engine.kv_restored_tokens;
    return told;
  };
  const Told alone = tell(nullptr);
  EXPECT_EQ(tell(&worker).scores, alone.scores);
  const Told again = tell(&worker);
  EXPECT_GE(again.restored, 512U);
  EXPECT_EQ(again.scores, alone.scores);
}

// The drafts are made here; the worker verifies them.
TEST(LayersWorker, DraftsOfAModelChangeNoToken) {
  FakeLayersWorker worker(kStoriesDraft);
  const auto told = [&](const FakeLayersWorker* its, bool drafts) {
    EngineOptions options = layers_options(kStoriesDraft, its);
    options.draft.model = drafts ? kStoriesDraft : "";
    PlanOverrides overrides = its != nullptr ? layers_there(3) : PlanOverrides();
    overrides.keep_draft_model = true;
    const auto engine = open_layers(options, overrides);
    const auto answer = (*engine->new_session())->complete("Once upon a time", greedy(24));
    EXPECT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(engine->stats().drafted_tokens > 0, drafts);
    return answer ? answer->tokens : std::vector<int32_t>();
  };
  EXPECT_EQ(told(&worker, true), told(nullptr, false));
}

class LayersWorkerFailure : public testing::TestWithParam<std::pair<LayersFault, const char*>> {};

TEST_P(LayersWorkerFailure, EndsTheAnswerAndTheModelIsOpenedAgainWithoutIt) {
  const auto [fault, words] = GetParam();
  FakeLayersWorker worker(kStoriesDraft);
  Reference reference(kStoriesDraft, kLayersContext, kLayersPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {7}, test_tokens(2));
  const EngineOptions options = layers_options(kStoriesDraft, &worker);
  PlanOverrides overrides = layers_there(2);
  if (fault == LayersFault::kSilent) {
    overrides.worker_patience = std::chrono::seconds(3);
  }
  {
    const auto engine = open_layers(options, overrides);
    ASSERT_TRUE(engine);
    worker.set_fault(fault, worker.graphs() + 2);
    const auto session = engine->new_session();
    ASSERT_TRUE((*session)->evaluate(test_tokens(5)));
    ASSERT_TRUE((*session)->evaluate(test_tokens(1)));
    EXPECT_FALSE(engine->must_reopen());
    const auto failed = (*session)->evaluate(test_tokens(1));
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, AllOf(HasSubstr(worker.address()), HasSubstr(words)));
    EXPECT_TRUE(engine->must_reopen());
    EXPECT_FALSE((*session)->evaluate(test_tokens(1))) << "keys and values are gone";
    EXPECT_EQ(engine->stats().workers.front().losses, 1U);
    EXPECT_EQ(engine->stats().workers.front().joined, 0U);
  }
  worker.stop();
  const auto again = open_layers(options, overrides);
  ASSERT_TRUE(again);
  EXPECT_EQ(planned_there(*again), 0U);
  const auto session = again->new_session();
  expect_same_logits(**session, expected, "alone again");
}

INSTANTIATE_TEST_SUITE_P(Faults, LayersWorkerFailure,
                         testing::Values(std::pair(LayersFault::kSilent, "is lost"),
                                         std::pair(LayersFault::kCloses, "is lost"),
                                         std::pair(LayersFault::kRefuses, "refuses"),
                                         std::pair(LayersFault::kFails, "it was told to"),
                                         std::pair(LayersFault::kWrongLength, "bytes")));

// The real one, which checks all that it is sent, by its own device and with little memory or much.
TEST(LayersWorker, OfARealWorkerTheBitsAreTheSame) {
  Reference reference(kStoriesDraft, kLayersContext, kLayersPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {1, 40}, test_tokens(3));
  const auto all = static_cast<uint32_t>(open_model(kStoriesDraft)->layers);
  ServingWorker serving(64 * kMiB, std::chrono::seconds(60), kStoriesDraft);
  for (const KvType type : {KvType::kF16, KvType::kQ8_0}) {
    for (const uint32_t layers : {1U, all / 2, all}) {
      EngineOptions options = layers_options(kStoriesDraft, nullptr);
      options.kv_type = type;
      options.split = WorkerSplit::kLayers;
      options.workers = {fmt::format("127.0.0.1:{}", serving.port())};
      const auto engine = open_layers(options, layers_there(layers, layers < all));
      ASSERT_TRUE(engine);
      SCOPED_TRACE(engine->plan().sentence);
      ASSERT_EQ(planned_there(*engine), layers);
      const auto session = engine->new_session();
      if (type == KvType::kF16) {
        expect_same_logits(**session, expected, "beside a real worker");
      } else {
        EXPECT_TRUE((*session)->evaluate(test_tokens(20)));
      }
      EXPECT_EQ(engine->stats().workers.front().losses, 0U);
    }
  }
}

class LayersWorkerExperts : public testing::TestWithParam<ModelCase> {
 protected:
  struct Way {
    uint32_t layers = 0;
    bool streamed = false;  // what is here
    std::vector<std::string> workers;
  };

  static void expect_same(const std::filesystem::path& path, const std::vector<Expected>& expected, const Way& way) {
    EngineOptions options = layers_options(path, nullptr);
    options.split = WorkerSplit::kLayers;
    options.workers = way.workers;
    PlanOverrides overrides = layers_there(way.layers);
    if (way.streamed) {
      overrides.mode = Mode::kExpertStreaming;
      overrides.cached_experts = 24;
    }
    const auto engine = open_layers(options, overrides);
    ASSERT_TRUE(engine);
    SCOPED_TRACE(engine->plan().sentence);
    uint32_t there = 0;
    for (const WorkerPlan& it : engine->plan().workers) {
      there += it.layers;
    }
    ASSERT_EQ(there, way.layers);
    const auto session = engine->new_session();
    expect_same_logits(**session, expected, "with experts there");
    for (const WorkerCounters& it : engine->stats().workers) {
      EXPECT_EQ(it.losses, 0U);
      EXPECT_LT(it.asks, 20U) << "visits of ten passes";
    }
  }
};

// Layers with experts, of a worker whose memory holds them, of one that reads them, and of that beside another.
TEST_P(LayersWorkerExperts, LogitsAreThoseOfOneMachine) {
  const TempDir folder;
  const std::filesystem::path path = model_file(GetParam(), folder.path());
  ASSERT_FALSE(path.empty());
  const auto all = static_cast<uint32_t>(open_model(path)->layers);
  Reference reference(path, kLayersContext, kLayersPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {1, 40}, test_tokens(3));
  const auto address = [](const ServingWorker& it) { return fmt::format("127.0.0.1:{}", it.port()); };
  {
    ServingWorker large(512 * kMiB, std::chrono::seconds(60), path);
    expect_same(path, expected, {1, true, {address(large)}});
    expect_same(path, expected, {all, false, {address(large)}});
  }
  ServingWorker small(kLittleThere, std::chrono::seconds(60), path);
  FakeLayersWorker other(path);
  expect_same(path, expected, {1, false, {address(small)}});
  expect_same(path, expected, {all - 2, true, {other.address(), address(small)}});
}

std::vector<ModelCase> with_latent_attention() {
  std::vector<ModelCase> models = expert_models();
  models.push_back({"deepseek2", "", small_spec("deepseek2", "Q8_0")});
  models.push_back({"glm4moe", "", small_spec("glm4moe", "Q8_0")});
  return models;
}

INSTANTIATE_TEST_SUITE_P(Models, LayersWorkerExperts, testing::ValuesIn(with_latent_attention()),
                         [](const auto& its) { return its.param.name; });

// Each has layers that follow the other's; one that has no room is done without.
TEST(LayersWorker, SeveralHaveLayersOneAfterTheOther) {
  FakeLayersWorker first(kStoriesDraft);
  FakeLayersWorker second(kStoriesDraft);
  Reference reference(kStoriesDraft, kLayersContext, kLayersPass, 1);
  const std::vector<Expected> expected = expect_all(reference, {20}, test_tokens(3));
  EngineOptions options = layers_options(kStoriesDraft, &first);
  options.workers.push_back(second.address());
  const auto all = static_cast<uint32_t>(open_model(kStoriesDraft)->layers);
  {
    const auto engine = open_layers(options, layers_there(all));
    ASSERT_TRUE(engine);
    const std::vector<WorkerPlan>& plans = engine->plan().workers;
    ASSERT_EQ(plans.size(), 2U);
    SCOPED_TRACE(engine->plan().sentence);
    EXPECT_EQ(plans[0].layers + plans[1].layers, all);
    expect_same_logits(**engine->new_session(), expected, "on two workers");
    for (size_t i = 0; i < plans.size(); ++i) {
      EXPECT_EQ(engine->stats().workers[i].asks > 0, plans[i].layers > 0);
    }
  }
  first.set_memory(256 * kKiB);
  const auto engine = open_layers(options, layers_there(2));
  ASSERT_TRUE(engine);
  EXPECT_EQ(engine->plan().workers[0].layers, 0U);
  EXPECT_EQ(engine->plan().workers[1].layers, 2U);
  expect_same_logits(**engine->new_session(), expected, "on the second");
}

// What it refused once it would refuse again.
TEST(LayersWorker, OneThatRefusesIsNotAskedAgain) {
  FakeLayersWorker worker(kStoriesDraft);
  worker.set_fault(LayersFault::kRefuses, 0);
  const EngineOptions options = layers_options(kStoriesDraft, &worker);
  {
    const auto engine = open_layers(options, layers_there(2));
    ASSERT_TRUE(engine);
    EXPECT_FALSE((*engine->new_session())->evaluate(test_tokens(1)));
  }
  const uint64_t connections = worker.connections();
  const auto again = open_layers(options, layers_there(2));
  ASSERT_TRUE(again);
  EXPECT_EQ(worker.connections(), connections);
  EXPECT_TRUE((*again->new_session())->evaluate(test_tokens(1)));
}

TEST(LayersWorker, ALossIsKnownBeforeAnythingIsAsked) {
  FakeLayersWorker worker(kStoriesDraft);
  const auto engine = open_layers(layers_options(kStoriesDraft, &worker), layers_there(2));
  ASSERT_TRUE(engine);
  EXPECT_FALSE(engine->must_reopen());
  worker.stop();
  EXPECT_TRUE(engine->must_reopen());
}

// Here is no room for the model; there is for a part of it.
TEST(LayersWorker, ThePlanGivesItWhatItsMemoryHolds) {
  const TempDir folder;
  ModelSpec spec = divided_spec();
  spec.output = folder.path() / "model.gguf";
  const std::filesystem::path path = *make_model(spec);
  const uint64_t bytes = open_model(path)->bytes;
  FakeLayersWorker worker(path);
  EngineOptions options = layers_options(path, &worker);
  options.memory = bytes + 4 * kMiB;  // for the vocabulary, keys and values, and computing: less than these take
  worker.set_memory(bytes);
  PlanOverrides overrides = layers_there(0);
  overrides.worker_layers.reset();
  {
    const auto engine = open_layers(options, overrides);
    ASSERT_TRUE(engine);
    SCOPED_TRACE(engine->plan().sentence);
    EXPECT_EQ(engine->plan().mode(), Mode::kResident) << "nothing is read for a token";
    EXPECT_GE(planned_there(*engine), 1U);
    EXPECT_LT(planned_there(*engine), 8U);
    EXPECT_THAT(engine->plan().sentence, HasSubstr(fmt::format("{} of 8 layers there", planned_there(*engine))));
    uint64_t here = 0;
    for (const LedgerLine& line : engine->ledger()) {
      here += line.bytes;
    }
    EXPECT_LE(here, *options.memory + kProcessOverhead);
  }
  worker.set_memory(256 * kKiB);
  const auto without = open_layers(options, overrides);
  ASSERT_TRUE(without);
  ASSERT_FALSE(without->plan().warnings.empty());
  EXPECT_EQ(planned_there(*without), 0U);
  EXPECT_THAT(without->plan().warnings.back(), HasSubstr("no layers are computed by"));
}

TEST(LayersWorker, WhatDoesNotGoTogetherIsRefusedByName) {
  EngineOptions options = layers_options(kStoriesDraft, nullptr);
  options.split = WorkerSplit::kLayers;
  const auto refusal = [](const EngineOptions& its) {
    const auto engine = open_engine(its);
    EXPECT_FALSE(engine);
    EXPECT_EQ(engine.error().code, ErrorCode::kUsage);
    return engine ? std::string() : engine.error().message;
  };
  EXPECT_THAT(refusal(options), HasSubstr("--worker"));
  options.workers = {"127.0.0.1:1"};
  const TempDir folder;
  ModelSpec spec = small_spec("qwen3next", "Q8_0");
  spec.output = folder.path() / "model.gguf";
  options.model = *make_model(spec);
  EXPECT_THAT(refusal(options), AllOf(HasSubstr("another state"), HasSubstr("--split layers")));
}

}  // namespace
}  // namespace hypura
