#include "plan/gpu_layers.h"

#include <gtest/gtest.h>

#include "llama/models_for_test.h"
#include "placement/cost.h"
#include "placement/gpu_placement.h"
#include "plan/explain.h"
#include "support/units.h"

namespace hypura {
namespace {

// The stories' draft model, 5.6 MiB without experts, on a GPU that is assumed to be a CUDA device with memory of its
// own.
class GpuLayersPlan : public testing::Test {
 protected:
  GpuLayersPlan() {
    auto model = open_model(kModels / "hypura-stories-draft.gguf");
    EXPECT_TRUE(model);
    model_ = std::move(*model);
    options_.context = 512;
    options_.ubatch = 32;
    options_.threads = 1;
  }

  OpenRequest request(uint64_t memory, uint64_t vram, bool named) const {
    ChosenGpu gpu;
    gpu.devices.resize(1);
    gpu.devices[0].info.name = "CUDA0";
    gpu.devices[0].info.backend = "CUDA";
    gpu.devices[0].vram = vram;
    gpu.named = named;
    return make_request(options_, model_, {memory, {}}, history_, {}, gpu);
  }

  // On two of them.
  OpenRequest shared(uint64_t first, uint64_t second, bool named) const {
    OpenRequest its = request(kGiB, first, named);
    its.gpu.devices.push_back(its.gpu.devices.front());
    its.gpu.devices[1].info.name = "CUDA1";
    its.gpu.devices[1].vram = second;
    return its;
  }

  // That all of it takes.
  uint64_t whole() const {
    const OpenRequest its = request(kGiB, kGiB, true);
    return minimum_vram(*placement_problem(its));
  }

  EngineOptions options_;
  RunHistory history_;
  Model model_;
};

TEST_F(GpuLayersPlan, AllOfItThatFitsIsNotDivided) {
  OpenRequest its = request(kGiB, whole(), true);
  const auto problem = planned_problem(its);
  ASSERT_TRUE(problem);
  EXPECT_FALSE(its.planned_layers);
  EXPECT_FALSE(problem->split);
  EXPECT_TRUE(place(*problem)->gpu);
}

TEST_F(GpuLayersPlan, MoreMemoryGetsMoreLayersAndIsNotExceeded) {
  uint32_t last = 0;
  double slower = 1e9;
  for (uint64_t percent = 10; percent < 95; percent += 5) {
    const uint64_t vram = whole() * percent / 100;
    OpenRequest its = request(kGiB, vram, true);
    const auto problem = planned_problem(its);
    ASSERT_TRUE(problem);
    const uint32_t count = its.planned_layers ? its.planned_layers->count : 0;
    EXPECT_GE(count, last);
    last = count;
    EXPECT_EQ(problem->split.has_value(), count > 0);
    const auto placement = place(*problem);
    ASSERT_TRUE(placement);
    const Plan plan = make_plan(its, *problem, *placement);
    uint64_t there = 0;
    for (const LedgerLine& line : plan.ledger) {
      there += line.tier == Tier::kDevice ? line.bytes : 0;
    }
    EXPECT_LE(there, vram);
    EXPECT_EQ(there > 0, count > 0);
    if (count > 0) {
      EXPECT_EQ(plan.device->layers, count - 1);
      EXPECT_EQ(plan.device->all_layers, static_cast<uint32_t>(model_.layers));
      EXPECT_NE(plan.why.find("assumed speeds of CUDA0"), std::string::npos) << plan.why;
      EXPECT_LE(plan.prediction.decode_seconds, slower + 1e-9) << "what is on the GPU is computed faster";
      slower = plan.prediction.decode_seconds;
    }
  }
  EXPECT_GT(last, 1U);
}

TEST_F(GpuLayersPlan, ThePredictionHasTheGpusPart) {
  OpenRequest its = request(kGiB, whole() * 6 / 10, true);
  const auto problem = planned_problem(its);
  ASSERT_TRUE(problem && problem->split);
  PlacementProblem without = *problem;
  without.split.reset();
  const auto placement = place(*problem);
  ASSERT_TRUE(placement);
  const GpuSplitPart& split = *problem->split;
  EXPECT_GT(split.on_gpu.first, 0);
  EXPECT_NEAR(pass_cost(*problem, *placement, 1).seconds,
              pass_cost(without, *placement, 1).seconds + split.on_gpu.first + split.handover, 1e-12);
  // Passes of many tokens are the GPU's, which gets the processors' weights copied.
  const double copies = static_cast<double>(split.host_weights) / split.upload_bytes_per_second;
  EXPECT_NEAR(pass_cost(*problem, *placement, 32).seconds,
              split.on_gpu.of(32) + split.off_cpu.of(32) + copies + split.handover, 1e-12);
}

// Each pass copies the processors' weights to it.
TEST_F(GpuLayersPlan, PromptsTakeLargePassesWhereThereIsRoom) {
  options_.ubatch = 0;
  options_.context = 1024;
  OpenRequest its = request(kGiB, whole() * 8 / 10, true);
  const auto problem = planned_problem(its);
  ASSERT_TRUE(problem && problem->split);
  EXPECT_EQ(problem->ubatch.front().tokens, 1024U);
  PlacementProblem roomy = *problem;
  roomy.split->devices[0].budget = kGiB;
  const auto placement = place(roomy);
  ASSERT_TRUE(placement);
  EXPECT_EQ(placement->ubatch, 1024U);
  EXPECT_DOUBLE_EQ(placement->objective, gpu_objective(roomy, *placement));
  its.planned_layers.reset();
  EXPECT_EQ(placement_problem(its)->ubatch.front().tokens, kLargestUbatch) << "the processors alone";
}

TEST_F(GpuLayersPlan, TheOutputAloneIsSaidToBeAlone) {
  OpenRequest its = request(kGiB, kGiB, true);
  for (const auto& [count, words] :
       {std::pair(0U, "none of 4 layers on CUDA0"), std::pair(1U, "the output and none of 4 layers on CUDA0"),
        std::pair(3U, "2 of 4 layers and the output on CUDA0")}) {
    its.planned_layers = GpuLayers{count, true};
    const auto problem = placement_problem(its);
    ASSERT_TRUE(problem);
    const auto placement = place(*problem);
    ASSERT_TRUE(placement);
    const Plan plan = make_plan(its, *problem, *placement);
    EXPECT_NE(plan.sentence.find(words), std::string::npos) << plan.sentence;
  }
}

// As of a GPU that another program has, and of none that was looked for.
TEST_F(GpuLayersPlan, AGpuThatIsPassedOverIsSaidToBe) {
  OpenRequest its = request(kGiB, 0, false);
  its.gpu = {};
  const auto why = [&] {
    const auto problem = planned_problem(its);
    return make_plan(its, *problem, *place(*problem)).why;
  };
  EXPECT_EQ(why().find("passed over"), std::string::npos);
  its.gpu.passed_over = "CUDA0 is passed over: it is taken";
  EXPECT_NE(why().find("; CUDA0 is passed over: it is taken"), std::string::npos) << why();
}

TEST(PassedOverGpus, AreThoseWhoseMemoryOthersHave) {
  GpuDeviceInfo device;
  device.name = "CUDA0";
  device.backend = "CUDA";
  device.memory_total = 8 * kGiB;
  device.memory_free = 7 * kGiB;
  EXPECT_FALSE(is_taken(device));
  device.memory_free = 800 * kMiB;
  EXPECT_TRUE(is_taken(device)) << "512 MiB are a desktop's, and the driver takes 480";
  device.flash_attention = true;
  EXPECT_TRUE(is_taken(device)) << "or 288";
  device.memory_free = 801 * kMiB;
  EXPECT_FALSE(is_taken(device));
  device.integrated = true;
  EXPECT_FALSE(is_taken(device));
}

TEST(PassedOverGpus, AreNotLookedForWhereADriverTakesAllRam) {
  GpuDrivers drivers;
  EXPECT_EQ(no_room_for_driver(100 * kMiB, drivers), "");
  drivers.nvidia = true;
  EXPECT_EQ(no_room_for_driver(kGiB, drivers), "");
  EXPECT_EQ(no_room_for_driver(100 * kMiB, drivers),
            "no GPU is looked for: its driver would take about 528.0 MiB of RAM, and 100.0 MiB may be used");
}

TEST_F(GpuLayersPlan, AGpuThatIsNotNamedIsUsedWhereItIsFaster) {
  OpenRequest its = request(kGiB, whole() * 6 / 10, false);
  const auto problem = planned_problem(its);
  ASSERT_TRUE(problem);
  OpenRequest alone = its;
  alone.planned_layers.reset();
  alone.gpu = {};
  const auto without = place(*placement_problem(alone));
  const auto with = place(*problem);
  ASSERT_TRUE(with && without);
  const double alone_takes = gpu_objective(*placement_problem(alone), *without);
  EXPECT_LE(gpu_objective(*problem, *with), alone_takes);
  EXPECT_EQ(its.planned_layers.has_value(), gpu_objective(*problem, *with) < alone_takes);
}

TEST_F(GpuLayersPlan, FewerAreGivenWhereMoreDidNotFit) {
  OpenRequest its = request(kGiB, kGiB, true);
  ASSERT_TRUE(planned_problem(its, {{2}}));
  ASSERT_TRUE(its.planned_layers);
  EXPECT_LE(its.planned_layers->count, 2U);
  const auto none = planned_problem(its, {{0}});
  ASSERT_TRUE(none);
  EXPECT_FALSE(its.planned_layers);
  const auto placement = place(*none);
  ASSERT_TRUE(placement);
  EXPECT_FALSE(placement->gpu);
  const Plan plan = make_plan(its, *none, *placement);
  EXPECT_NE(plan.why.find("CUDA0 computes nothing"), std::string::npos) << plan.why;
  EXPECT_NE(plan.why.find("did not hold what llama.cpp wanted"), std::string::npos) << plan.why;
}

TEST_F(GpuLayersPlan, SeveralGpusHaveMoreThanOneAndEachItsOwn) {
  const uint64_t room = whole() * 5 / 10;
  OpenRequest one = request(kGiB, room, true);
  ASSERT_TRUE(planned_problem(one) && one.planned_layers);
  OpenRequest two = shared(room, room, true);
  const auto problem = planned_problem(two);
  ASSERT_TRUE(problem && problem->split && two.planned_layers);
  EXPECT_GT(two.planned_layers->count, one.planned_layers->count);
  EXPECT_LE(two.planned_layers->count, static_cast<uint32_t>(model_.layers));
  const auto placement = place(*problem);
  ASSERT_TRUE(placement);
  const Plan plan = make_plan(two, *problem, *placement);
  ASSERT_EQ(plan.device->shares.size(), 2U);
  EXPECT_EQ(plan.device->name, "CUDA0 and CUDA1");
  uint32_t next = static_cast<uint32_t>(model_.layers) - *plan.device->layers;
  uint64_t bytes = 0;
  for (const DeviceShare& share : plan.device->shares) {
    EXPECT_EQ(share.first_layer, next);
    EXPECT_LE(share.bytes, room);
    next += share.layers;
    bytes += share.bytes;
  }
  EXPECT_EQ(next, static_cast<uint32_t>(model_.layers));
  for (const LedgerLine& line : plan.ledger) {
    bytes -= line.tier == Tier::kDevice ? line.bytes : 0;
  }
  EXPECT_EQ(bytes, 0U) << "the ledger has what both have";
  EXPECT_NE(plan.sentence.find("and the output there, layers "), std::string::npos) << plan.sentence;
  EXPECT_NE(plan.sentence.find("the output on CUDA1; the rest fits into RAM"), std::string::npos) << plan.sentence;
  EXPECT_NE(plan.why.find("CUDA0 and CUDA1 compute "), std::string::npos) << plan.why;
}

TEST_F(GpuLayersPlan, ASecondOneThatIsNotNamedIsUsedWhereItIsFaster) {
  const uint64_t room = whole() * 5 / 10;
  OpenRequest one = request(kGiB, room, false);
  const auto alone = planned_problem(one);
  OpenRequest two = shared(room, room, false);
  const auto both = planned_problem(two);
  ASSERT_TRUE(alone && both);
  ASSERT_EQ(two.devices_with_layers().size(), 2U);
  EXPECT_LT(gpu_objective(*both, *place(*both)), gpu_objective(*alone, *place(*alone)));
  OpenRequest roomy = shared(whole() * 95 / 100, whole() / 4, false);
  ASSERT_TRUE(planned_problem(roomy));
  EXPECT_LE(roomy.layers_of_devices()[1], 2U) << "the first has room for all but a layer";
}

TEST_F(GpuLayersPlan, OneThatHasNoRoomGetsNothing) {
  OpenRequest its = shared(whole() * 6 / 10, 64 * kKiB, true);
  const auto problem = planned_problem(its);
  ASSERT_TRUE(problem && its.planned_layers);
  EXPECT_EQ(its.layers_of_devices()[1], 0U);
  EXPECT_EQ(its.names_with_layers(), std::vector<std::string>{"CUDA0"});
  const Plan plan = make_plan(its, *problem, *place(*problem));
  EXPECT_TRUE(plan.device->shares.empty());
  EXPECT_EQ(plan.device->budget, whole() * 6 / 10) << "of those that compute";
}

TEST_F(GpuLayersPlan, RealSizesThatAreTooManyAreNoPlacement) {
  OpenRequest its = request(kGiB, whole() * 6 / 10, true);
  auto problem = planned_problem(its);
  ASSERT_TRUE(problem && problem->split && place(*problem));
  problem->split->devices[0].weights = problem->split->devices[0].budget;
  const auto refused = place(*problem);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBudget);
  EXPECT_NE(refused.error().message.find("of the GPU's memory"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace hypura
