#include "history/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "generate/engine/fake_workers_for_test.h"
#include "generate/engine/open_overridden.h"
#include "history/run_history.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "load/plan_model.h"
#include "placement/gpu_problem_for_test.h"
#include "plan/explain.h"
#include "profiling/profile_target.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

constexpr const char* kMeasuredAt = "2026-01-02T03:04:05Z";

// The stories model in 40 MiB, on paper, and passes that go as the plan says but for a factor.
class DecodeCalibrationTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.model = kStories;
    options_.context = 256;
    const auto model = open_model(kStories);
    ASSERT_TRUE(model);
    const RunHistory nothing;
    auto problem = placement_problem({options_, *model, 40 * kMiB, 2, 256, nothing});
    ASSERT_TRUE(problem);
    auto placement = place(*problem);
    ASSERT_TRUE(placement);
    problem_ = std::move(*problem);
    placement_ = std::move(*placement);
  }

  PassCost predicted(double position = 0) const { return pass_cost(problem_after(problem_, position), placement_, 1); }

  void note(size_t passes, double factor, uint32_t position = 0, double more_bytes = 0) {
    const PassCost cost = predicted(position);
    for (size_t i = 0; i < passes; ++i) {
      calibration_.note({cost.seconds * factor, static_cast<uint64_t>(cost.bytes + more_bytes), position});
    }
  }

  std::optional<double> factor(uint32_t predicted_at = 0) const {
    return calibration_.factor(problem_, placement_, predicted_at);
  }

  EngineOptions options_;
  PlacementProblem problem_;
  Placement placement_;
  DecodeCalibration calibration_;
};

TEST_F(DecodeCalibrationTest, IsMeasuredByPredicted) {
  note(DecodeCalibration::kSkipped, 50);  // caches that fill
  EXPECT_EQ(factor(), std::nullopt);
  note(DecodeCalibration::kFewest - 1, 1.5);
  EXPECT_EQ(factor(), std::nullopt);
  note(1, 1.5);
  ASSERT_TRUE(factor());
  EXPECT_NEAR(*factor(), 1.5, 1e-6);
}

TEST_F(DecodeCalibrationTest, TheLatestPassesCount) {
  note(DecodeCalibration::kSkipped + 2 * DecodeCalibration::kMost, 3);
  note(DecodeCalibration::kMost / 2, 1);
  EXPECT_NEAR(*factor(), 2, 1e-6);
  note(DecodeCalibration::kMost / 2, 1);
  EXPECT_NEAR(*factor(), 1, 1e-6);
}

TEST_F(DecodeCalibrationTest, WhatIsInTheContextIsReckonedWith) {
  ASSERT_GT(problem_.attention, 0);
  note(DecodeCalibration::kSkipped + DecodeCalibration::kFewest, 1.25, 200);
  EXPECT_NEAR(*factor(), 1.25, 1e-6);
  problem_ = problem_after(problem_, 100);  // as with EngineOptions::predicted_at
  EXPECT_NEAR(*factor(100), 1.25, 1e-6);
}

TEST_F(DecodeCalibrationTest, OtherReadingTellsNothing) {
  const double tenth = 0.1 * predicted().seconds * problem_.expert_disk.bytes_per_second;
  note(DecodeCalibration::kSkipped + DecodeCalibration::kFewest, 1, 0, 0.9 * tenth);
  EXPECT_TRUE(factor());
  note(DecodeCalibration::kMost, 1, 0, 1.1 * tenth);
  EXPECT_EQ(factor(), std::nullopt);
}

// A text that uses other experts than the plan knew of tells nothing of the machine: later plans know its routing, and
// the factor would correct them once more.
TEST(GpuDecodeCalibration, OtherMissesTellNothing) {
  const PlacementProblem problem = gpu_problem(4 * kGiB, 30 * kGiB);
  const auto placement = place(problem);
  ASSERT_TRUE(placement && placement->gpu) << placement.error().message;
  const PassCost predicted = pass_cost(problem, *placement, 1);
  ASSERT_GT(predicted.device_misses, 10);
  const double tenth = 0.1 * predicted.seconds * predicted.device_misses / predicted.uploading;
  const auto factor = [&](double more_misses) {
    DecodeCalibration calibration;
    for (size_t i = 0; i < DecodeCalibration::kSkipped + DecodeCalibration::kFewest; ++i) {
      const double missed = predicted.device_misses + more_misses;
      calibration.note({1.25 * predicted.seconds, 0, 0, static_cast<uint64_t>(std::lround(missed))});
    }
    return calibration.factor(problem, *placement, 0);
  };
  ASSERT_TRUE(factor(0));
  EXPECT_NEAR(*factor(0), 1.25, 1e-6);
  EXPECT_TRUE(factor(-0.8 * tenth));
  EXPECT_EQ(factor(-1.3 * tenth), std::nullopt);
  EXPECT_EQ(factor(1.3 * tenth), std::nullopt);
}

// What a disk takes is off by another factor than what a link takes.
TEST(GpuDecodeCalibration, IsAnotherWhereSomeExpertsAreInNoMemory) {
  const auto model = open_model(kStories);  // 6 layers of 32 experts
  ASSERT_TRUE(model);
  EngineOptions options;
  const RunHistory nothing;
  const OpenRequest request = {options, *model, 40 * kMiB, 2, 256, nothing};
  Placement placement;
  placement.gpu.emplace().layer_slots.assign(6, 12);
  placement.experts.streamed = true;
  placement.experts.layer_slots.assign(6, 20);
  const std::string all = calibration_key(request, placement);
  placement.experts.layer_slots.back() = 19;
  EXPECT_EQ(calibration_key(request, placement), all + ", from disk");
  placement.gpu->layer_slots.back() = 13;
  EXPECT_EQ(calibration_key(request, placement), all);
}

class SavedCalibrationTest : public testing::Test {
 protected:
  void SetUp() override {
    auto model = open_model(kStories);
    ASSERT_TRUE(model);
    model_ = std::move(*model);
  }

  CalibrationFactors saved(const std::string& measured_at = kMeasuredAt) const {
    return load_calibration(model_, measured_at);
  }

  fs::path file() const {
    const fs::path folder = cache_.path() / "hypura" / "run-history";
    return fs::exists(folder) ? fs::directory_iterator(folder)->path() : fs::path();
  }

  TempDir cache_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", cache_.path().c_str()};
  Model model_;
};

TEST_F(SavedCalibrationTest, IsKeptForItsProfileAndWay) {
  EXPECT_TRUE(saved().empty());
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "a", 1.5));
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "b", 0.75));
  EXPECT_EQ(saved(), (CalibrationFactors{{"a", 1.5}, {"b", 0.75}}));
  EXPECT_TRUE(saved("2026-01-02T03:04:06Z").empty()) << "of another profile";
  ASSERT_TRUE(save_calibration(model_, "2026-01-02T03:04:06Z", "a", 2));
  EXPECT_EQ(saved("2026-01-02T03:04:06Z"), (CalibrationFactors{{"a", 2}}));
}

TEST_F(SavedCalibrationTest, LaterRunsCountForHalf) {
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "a", 1));
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "a", 1.44));
  EXPECT_NEAR(saved()["a"], 1.2, 1e-9);
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "b", 1000));
  EXPECT_EQ(saved()["b"], kLargestFactor);
}

TEST_F(SavedCalibrationTest, WhatCannotBeReadIsNothing) {
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "a", 1.5));
  for (const char* text : {"", "{", "[]", "{\"profile\":\"2026-01-02T03:04:05Z\",\"calibration_factors\":[1,\"x\"]}",
                           "{\"profile\":\"2026-01-02T03:04:05Z\",\"calibration_factors\":{\"a\":\"fast\"}}"}) {
    std::ofstream(file()) << text;
    EXPECT_EQ(saved().count("a"), 0U) << text;
  }
  ASSERT_TRUE(save_calibration(model_, kMeasuredAt, "a", 1.5));
  EXPECT_EQ(saved()["a"], 1.5);
}

// A profile without figures will do: speeds are then assumed.
TEST_F(SavedCalibrationTest, ARunLeavesItsFactorAndTheNextPlanReckonsWithIt) {
  ProfileOptions of_disk;
  of_disk.path = kStories;
  MachineProfile profile;
  profile.measured_at = kMeasuredAt;
  const auto target = find_profile_target(of_disk);
  ASSERT_TRUE(target && target->cache);
  ASSERT_TRUE(store_profile(*target->cache, profile, target->fingerprint));
  EngineOptions options;
  options.model = kStories;
  options.memory = 70 * kMiB;
  options.resident = false;  // all experts have a slot, so that nothing is read
  options.context = 256;
  options.threads = 1;
  {
    auto engine = Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_THAT((*engine)->plan().why, Not(HasSubstr("earlier runs")));
    auto session = (*engine)->new_session();
    ASSERT_TRUE(session);
    GenerateOptions generate;
    generate.sampling.temperature = 0;
    generate.max_tokens = 120;
    ASSERT_TRUE((*session)->complete("Once upon a time", generate));
    EXPECT_TRUE(saved().empty()) << "nothing is saved before it is closed";
    ASSERT_TRUE((*engine)->close());
  }
  const CalibrationFactors kept = saved();
  ASSERT_EQ(kept.size(), 1U);
  const auto& [key, factor] = *kept.begin();
  EXPECT_THAT(key, HasSubstr("1 threads"));
  const bool contradicts = std::max(factor, 1 / factor) >= MachineProfile::kContradiction;
  EXPECT_EQ(cached_profile(of_disk).value().contradicted_by > 0, contradicts) << factor;

  const auto plan = plan_model(options, &profile);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->prediction.calibration, factor);
  EXPECT_THAT(plan->why, HasSubstr("earlier runs"));
  MachineProfile later = profile;
  later.measured_at = "2026-02-02T03:04:05Z";
  const auto before = plan_model(options, &later);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->prediction.calibration, std::nullopt);
  EXPECT_NEAR(plan->prediction.decode_seconds, before->prediction.decode_seconds * factor, 1e-9);
  EXPECT_NEAR(plan->more_memory_tokens_per_second, before->more_memory_tokens_per_second / factor, 1e-6);
  EXPECT_NEAR(plan->prediction.bound_tokens_per_second,
              std::max(before->prediction.bound_tokens_per_second, plan->prediction.tokens_per_second), 1e-6);
  EXPECT_EQ(plan->prediction.prefill512_seconds, before->prediction.prefill512_seconds);
}

TEST_F(SavedCalibrationTest, IsForgottenByItsBeginning) {
  for (const char* key : {"dense-streaming", "dense-streaming, workers a:1", "dense-streaming, workers b:1 and c:1"}) {
    ASSERT_TRUE(save_calibration(model_, kMeasuredAt, key, 1.5));
  }
  ASSERT_TRUE(forget_calibration(model_, kMeasuredAt, std::string("dense-streaming") + kWorkersInKey));
  EXPECT_EQ(saved(), (CalibrationFactors{{"dense-streaming", 1.5}}));
}

// What the disk sustains such a run does not tell, since it rests while the worker computes.
TEST_F(SavedCalibrationTest, ADenseRunWithWorkersLeavesItsFactor) {
  EngineOptions options;
  options.model = std::filesystem::path(kStories).parent_path() / "hypura-stories-draft.gguf";
  options.gpu = "none";
  options.memory = 9 * kMiB;
  options.resident = false;
  options.context = 128;
  options.threads = 1;
  FakeWorkers workers(options.model);
  workers.manner().experts = 1;
  workers.add();
  options.workers = workers.addresses();
  PlanOverrides overrides;
  overrides.mode = Mode::kDenseStreaming;
  overrides.alike_workers = true;  // so that it is asked however slow this machine is
  overrides.worker_patience = std::chrono::hours(1);
  ProfileOptions of_disk;
  of_disk.path = options.model;
  MachineProfile profile;
  profile.measured_at = kMeasuredAt;
  const auto target = find_profile_target(of_disk);
  ASSERT_TRUE(target && target->cache);
  ASSERT_TRUE(store_profile(*target->cache, profile, target->fingerprint));
  const Model model = *open_model(options.model);
  {
    const auto engine = open_overridden(options, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->new_session();
    GenerateOptions generate;
    generate.sampling.temperature = 0;
    generate.max_tokens = 80;
    ASSERT_TRUE((*session)->complete("Once upon a time", generate));
    ASSERT_EQ((*engine)->stats().workers.at(0).losses, 0U);
    ASSERT_TRUE((*engine)->close());
  }
  const CalibrationFactors kept = load_calibration(model, kMeasuredAt);
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_THAT(kept.begin()->first, HasSubstr(kWorkersInKey + workers.addresses()[0]));
  EXPECT_EQ(cached_profile(of_disk).value().storage.sustained_bytes_per_second, 0);
  const auto plan = plan_model(model, options, &profile, overrides);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->prediction.calibration, kept.begin()->second);
}

}  // namespace
}  // namespace hypura
