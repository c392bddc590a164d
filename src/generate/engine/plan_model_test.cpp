#include "load/plan_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "backend/repack_buffer.h"
#include "generate/engine/reference_for_test.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "plan/explain.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

EngineOptions demo(uint64_t memory) {
  EngineOptions options;
  options.model = kModels / "hypura-stories-moe.gguf";
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  return options;
}

MachineProfile some_machine() {
  MachineProfile profile;
  profile.threads = 1;
  profile.operation_seconds = 2e-6;
  profile.kernels = {{"q8_0", 10e9, 80e9}};
  profile.storage.points = {{64 * kKiB, 1, true, 0.5e9}, {64 * kKiB, 32, true, 2e9}};
  profile.storage.sequential_bytes_per_second = profile.storage.scattered_bytes_per_second = 2e9;
  return profile;
}

uint64_t sum_of(const std::vector<LedgerLine>& ledger) {
  uint64_t sum = 0;
  for (const LedgerLine& line : ledger) {
    sum += line.bytes;
  }
  return sum;
}

bool warns(const Plan& plan, std::string_view words) {
  return std::any_of(plan.warnings.begin(), plan.warnings.end(),
                     [&](const std::string& it) { return it.find(words) != std::string::npos; });
}

// What the layers keep is what the mode says, and fits what the ledger has for it.
void expect_layers_fit(const Plan& plan) {
  ASSERT_EQ(plan.layers.size(), 6);
  LayerShare sum;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerShare& it = plan.layers[i];
    EXPECT_EQ(it.layer, static_cast<int32_t>(i));
    EXPECT_LE(it.dense_kept, it.dense_bytes);
    EXPECT_LE(it.expert_kept, it.expert_bytes);
    EXPECT_GT(it.dense_bytes, 0);
    EXPECT_GT(it.expert_bytes, it.dense_bytes);
    sum.dense_kept += it.dense_kept;
    sum.dense_bytes += it.dense_bytes;
    sum.expert_kept += it.expert_kept;
    sum.expert_bytes += it.expert_bytes;
  }
  EXPECT_EQ(sum.dense_kept < sum.dense_bytes, streams_dense(plan.mode())) << to_string(plan.mode());
  EXPECT_EQ(sum.expert_kept < sum.expert_bytes, streams_experts(plan.mode())) << to_string(plan.mode());
  EXPECT_LE(sum.dense_kept + sum.expert_kept, sum_of(plan.ledger));
}

TEST(PlanModel, IsWhatIsDone) {
  for (uint64_t memory : {14 * kMiB, 20 * kMiB, 24 * kMiB, 40 * kMiB, kGiB}) {
    const auto plan = plan_model(demo(memory), nullptr);
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_LE(sum_of(plan->ledger), memory);
    const auto engine = Engine::open(demo(memory));
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_EQ((*engine)->plan().mode(), plan->mode()) << format_bytes(memory);
    EXPECT_EQ((*engine)->plan().placement.kv_type, plan->placement.kv_type);
    EXPECT_LE(sum_of((*engine)->plan().ledger), memory);
    expect_layers_fit((*engine)->plan());
    EXPECT_NEAR((*engine)->plan().prediction.tokens_per_second / plan->prediction.tokens_per_second, 1, 0.15);
    // What is estimated is near what is: the peak may be off by 5 %.
    const auto estimated = static_cast<double>(sum_of(plan->ledger));
    EXPECT_NEAR(static_cast<double>(sum_of((*engine)->plan().ledger)) / estimated, 1, 0.05) << format_bytes(memory);
  }
}

TEST(PlanModel, ALongConversationIsSlower) {
  EngineOptions options = demo(20 * kMiB);
  const auto plan = plan_model(options, nullptr);
  options.predicted_at = plan->context;
  const auto at_the_end = plan_model(options, nullptr);
  ASSERT_TRUE(plan && at_the_end);
  EXPECT_LT(at_the_end->prediction.tokens_per_second, plan->prediction.tokens_per_second);
  EXPECT_NEAR(plan->prediction.full_context_tokens_per_second / at_the_end->prediction.tokens_per_second, 1, 1e-9);
  EXPECT_EQ(at_the_end->prediction.full_context_tokens_per_second, at_the_end->prediction.tokens_per_second);
}

TEST(PlanModel, EstimatesAreNearWhatLlamaTakes) {
  for (const char* arch : {"dense", "qwen3moe", "mixtral", "gpt-oss"}) {
    const TempDir folder;
    ModelSpec spec;
    spec.arch = arch;
    spec.output = folder.path() / "model.gguf";
    const auto path = make_model(spec);
    ASSERT_TRUE(path);
    for (uint32_t ubatch : {32U, 256U}) {
      EngineOptions options = demo(2 * kGiB);
      options.model = *path;
      options.resident = false;
      options.ubatch = ubatch;
      options.context = 2048;
      const auto plan = plan_model(options, nullptr);
      const auto engine = Engine::open(options);
      ASSERT_TRUE(plan && engine);
      for (const LedgerLine& line : (*engine)->plan().ledger) {
        const auto it = std::find_if(plan->ledger.begin(), plan->ledger.end(),
                                     [&](const LedgerLine& other) { return other.purpose == line.purpose; });
        ASSERT_NE(it, plan->ledger.end()) << to_string(line);
        std::printf("%s ubatch %u: %s %s, estimated %s\n", arch, ubatch, to_string(line).c_str(),
                    format_bytes(line.bytes).c_str(), format_bytes(it->bytes).c_str());
        if (line.purpose == Purpose::kKvCache) {
          EXPECT_EQ(line.bytes, it->bytes) << arch;
        }
      }
    }
  }
}

TEST(PlanModel, EveryTensorHasAPlace) {
  const auto plan = plan_model(demo(24 * kMiB), nullptr);
  ASSERT_TRUE(plan);
  const auto model = open_model(demo(0).model);
  ASSERT_TRUE(model);
  ASSERT_EQ(plan->tensors.size(), model->tensors.size());
  uint64_t bytes = 0;
  double in_slots = 0;
  for (size_t i = 0; i < plan->tensors.size(); ++i) {
    const PlacedTensor& tensor = plan->tensors[i];
    EXPECT_EQ(tensor.name, model->tensors[i].name);
    EXPECT_EQ(tensor.way == Way::kSlots, tensor.role == TensorRole::kRoutedExpert) << tensor.name;
    EXPECT_EQ(tensor.tier == Tier::kDisk, tensor.ram_share < 1);
    bytes += tensor.bytes;
    in_slots += tensor.way == Way::kSlots ? tensor.ram_share : 0;
  }
  EXPECT_EQ(bytes, model->bytes);
  EXPECT_EQ(plan->placement.experts.all, 6U * 32U);
  ASSERT_EQ(plan->placement.experts.layer_slots.size(), 6U);
  double kept = 0;
  for (uint32_t slots : plan->placement.experts.layer_slots) {
    kept += slots;
  }
  EXPECT_NEAR(in_slots, 3 * kept / 32, 1e-9);
}

TEST(PlanModel, SaysWhatToExpectAndWhatMoreWouldGive) {
  const MachineProfile machine = some_machine();
  const auto plan = plan_model(demo(24 * kMiB), &machine);
  ASSERT_TRUE(plan);
  const Prediction& prediction = plan->prediction;
  EXPECT_GT(prediction.tokens_per_second, 0);
  EXPECT_NEAR(prediction.decode_seconds * prediction.tokens_per_second, 1, 1e-9);
  ASSERT_TRUE(prediction.hit_rate);
  EXPECT_GT(*prediction.hit_rate, 0.2);
  EXPECT_LT(*prediction.hit_rate, 0.9);
  EXPECT_EQ(prediction.hit_rate_source, "the prior");
  EXPECT_GT(prediction.bytes_per_token, 0);
  EXPECT_GE(prediction.bound_tokens_per_second, prediction.tokens_per_second);
  EXPECT_GT(prediction.prefill4096_seconds, 6 * prediction.prefill512_seconds);
  EXPECT_GE(plan->more_memory_tokens_per_second, prediction.tokens_per_second);
  EXPECT_GE(plan->more_disk_tokens_per_second, prediction.tokens_per_second);
  EXPECT_EQ(plan->why.find("assumed"), std::string::npos) << plan->why;
  const auto unmeasured = plan_model(demo(24 * kMiB), nullptr);
  EXPECT_NE(unmeasured->why.find("by assumed speeds"), std::string::npos) << unmeasured->why;
  EXPECT_FALSE(warns(*unmeasured, "assumed"));
}

TEST(PlanModel, WarnsBelowTheCliffAndOfAContextThatIsTooLong) {
  const auto tight = plan_model(demo(15 * kMiB), nullptr);
  ASSERT_TRUE(tight);
  EXPECT_TRUE(warns(*tight, "fewer than the 24 that one token uses")) << tight->sentence;
  EXPECT_FALSE(warns(*plan_model(demo(30 * kMiB), nullptr), "one token uses"));
  EngineOptions long_context = demo(kGiB);
  long_context.context = 1 << 20;
  const auto plan = plan_model(long_context, nullptr);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(warns(*plan, "context lowered from 1048576"));
  EXPECT_LT(plan->context, 1U << 20);
}

TEST(PlanModel, AQuantisedKvCacheIsTakenWhenAskedForOrWhenItPays) {
  EngineOptions options = demo(40 * kMiB);
  options.context = 1024;
  options.kv_type = KvType::kQ8_0;
  const auto quantised = plan_model(options, nullptr);
  const auto engine = Engine::open(options);
  ASSERT_TRUE(quantised && engine);
  EXPECT_EQ(quantised->placement.kv_type, KvType::kQ8_0);
  EXPECT_EQ((*engine)->plan().placement.kv_type, KvType::kQ8_0);
  auto session = (*engine)->new_session();
  EXPECT_TRUE((*session)->evaluate(test_tokens(4)));
  options.kv_type = KvType::kAuto;
  options.memory = kGiB;
  const auto enough = plan_model(options, nullptr);
  EXPECT_EQ(enough->placement.kv_type, KvType::kF16);
  EXPECT_NE(enough->why.find("the KV cache stays f16: q8_0 would free"), std::string::npos) << enough->why;
}

TEST(PlanModel, ABudgetThatCannotWorkNamesOneThatCan) {
  const auto plan = plan_model(demo(2 * kMiB), nullptr);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kBudget);
  EXPECT_NE(plan.error().message.find("smallest"), std::string::npos) << plan.error().message;
}

// What the model's routing is known to be counts instead of the prior, and its layers' mean.
TEST(PlanModel, AHitCurveTakesThePlaceOfThePrior) {
  const auto model = open_model(demo(0).model);
  ASSERT_TRUE(model);
  RunHistory history;
  history.hit_source = "routing trace of 512 tokens";
  for (int layer = 0; layer < 6; ++layer) {
    for (int cached = 0; cached <= 32; ++cached) {
      history.hit_curve.push_back(std::min(1.0, cached / (layer < 3 ? 4.0 : 8.0)));
    }
  }
  const EngineOptions options = demo(40 * kMiB);
  const OpenRequest request = {options, *model, 40 * kMiB, 1, 256, history};
  auto problem = placement_problem(request);
  ASSERT_TRUE(problem);
  ASSERT_EQ(problem->experts.size(), 1U);
  EXPECT_EQ(problem->experts.front().layers, 6U);
  EXPECT_NEAR(problem->experts.front().popularity[0], 4 * (1 / 4.0 + 1 / 8.0) / 2, 1e-9);
  EXPECT_NEAR(problem->experts.front().popularity[8], 0, 1e-9);
  const auto placement = place(*problem);
  ASSERT_TRUE(placement);
  const Prediction prediction = predict(request, *problem, *placement);
  EXPECT_NEAR(*prediction.hit_rate, 1, 1e-9);
  EXPECT_EQ(prediction.hit_rate_source, "routing trace of 512 tokens");
  EXPECT_EQ(prediction.calibration, std::nullopt);

  const std::string key = calibration_key(request, *placement);
  for (const double factor : {1.25, 0.25}) {
    history.calibration = {{key, factor}};
    const Prediction by_runs = predict(request, *problem, *placement);
    EXPECT_EQ(by_runs.calibration, factor);
    EXPECT_NEAR(by_runs.tokens_per_second, prediction.tokens_per_second / factor, 1e-9);
    EXPECT_NEAR(by_runs.full_context_tokens_per_second, prediction.full_context_tokens_per_second / factor, 1e-9);
    EXPECT_NEAR(by_runs.bound_tokens_per_second,
                std::max(prediction.bound_tokens_per_second, by_runs.tokens_per_second), 1e-9);
  }
  history.calibration = {{key + ", of another way", 2}};
  EXPECT_EQ(predict(request, *problem, *placement).calibration, std::nullopt);
  problem->workers.emplace_back().name = "box:1";
  history.calibration = {{key, 2}, {key + ", workers box:1", 3}};
  EXPECT_EQ(predict(request, *problem, *placement).calibration, 3);
}

TEST(PlanModel, RefusesAModeThatTheModelDoesNotHave) {
  const auto model = open_model(demo(40 * kMiB).model);
  ASSERT_TRUE(model) << model.error().message;
  PlanOverrides overrides;
  overrides.mode = Mode::kDenseStreaming;
  const auto plan = plan_model(*model, demo(40 * kMiB), nullptr, overrides);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kUsage);
  EXPECT_NE(plan.error().message.find("dense-streaming"), std::string::npos) << plan.error().message;
}

// Room to repack in comes out of the budget like all else, and prompts are expected to be faster for it.
TEST(PlanModel, ReckonsWithRepacking) {
  EngineOptions options = demo(40 * kMiB);
  const auto with = plan_model(options, nullptr);
  options.repack = false;
  const auto without = plan_model(options, nullptr);
  ASSERT_TRUE(with);
  ASSERT_TRUE(without);
  if (RepackBuffer::least_rows(GGML_TYPE_Q4_0, 512, 256) > 64) {
    GTEST_SKIP() << "ggml has no faster layout of Q4_0 for this processor";
  }
  EXPECT_LT(with->prediction.prefill512_seconds, without->prediction.prefill512_seconds);
  EXPECT_LE(with->placement.experts.slots, without->placement.experts.slots);
}

// A dense model of 2.3 GiB, with a vocabulary of 128k tokens: its output matrix takes 288 MiB.
TEST(PlanModel, ALargeOutputMatrixMovesAndIsPinnedInRanges) {
  const TempDir folder;
  ModelSpec spec;
  spec.output = folder.path() / "m.gguf";
  spec.embedding = 4096;
  spec.heads = 32;
  spec.kv_heads = 8;
  spec.ff = 14336;
  spec.layers = 16;
  spec.vocab_tokens = 131072;
  spec.sparse = true;
  ASSERT_TRUE(make_model(spec));
  EngineOptions options = demo(kGiB);
  options.model = spec.output;
  options.gpu = "none";
  const MachineProfile machine = some_machine();
  const auto plan = plan_model(options, &machine);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->mode(), Mode::kDenseStreaming);
  EXPECT_LE(plan->placement.dense.ring_bytes, 112 * kMiB) << "two ranges, and some more to read ahead";
  const auto output = std::ranges::find(plan->tensors, "output.weight", &PlacedTensor::name);
  EXPECT_EQ(output->bytes, 288 * kMiB);
  EXPECT_EQ(output->way, Way::kRing);
  EXPECT_GT(output->ram_share, 0.02);
  EXPECT_LT(output->ram_share, 0.98);
  double in_ram = 0;
  for (const PlacedTensor& tensor : plan->tensors) {
    in_ram += tensor.ram_share * static_cast<double>(tensor.bytes);
  }
  EXPECT_NEAR(in_ram, static_cast<double>(plan->ledger[0].bytes + plan->ledger[1].bytes), 2e6) << "weights, pinned";

  PlanOverrides whole;
  whole.range_bytes = kWholeMatrix;
  const auto model = open_model(options.model);
  ASSERT_TRUE(model);
  const auto without = plan_model(*model, options, &machine, whole);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_GE(without->placement.dense.ring_bytes, 576 * kMiB);
  EXPECT_GT(without->prediction.bytes_per_token, plan->prediction.bytes_per_token * 1.2);
}

TEST(PlanModel, LayersWithLargerExpertsAreAGroupOfTheirOwn) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = "qwen3moe";
  spec.type = "Q4_0";
  spec.output = folder.path() / "model.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path);
  auto model = open_model(*path);
  ASSERT_TRUE(model);
  StreamLayout layout = lay_out(*model, true, true);
  ASSERT_GE(layout.expert_layers.size(), 2U);
  EXPECT_EQ(groups_of_layers(layout), std::vector<size_t>(layout.expert_layers.size(), 0));
  layout.expert_layers[1].parts.front().slice_bytes += 4096;
  std::vector<size_t> expected(layout.expert_layers.size(), 0);
  expected[1] = 1;
  EXPECT_EQ(groups_of_layers(layout), expected);
}

}  // namespace
}  // namespace hypura
