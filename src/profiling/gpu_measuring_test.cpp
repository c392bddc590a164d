#include "profiling/gpu_measuring.h"

#include <gtest/gtest.h>

#include "backend/gpu/separate_gpu_for_test.h"
#include "machine/profile_cache.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

MeasuringEffort short_effort() {
  MeasuringEffort effort;
  effort.gpu.weight_bytes = 4 * kMiB;
  effort.gpu.copy_bytes = kMiB;
  effort.gpu.matmul_size = 256;
  effort.gpu.seconds = 0;
  return effort;
}

// Over a device that computes nothing, in no time.
class GpuMeasuringTest : public testing::Test {
 protected:
  GpuMeasuringTest() {
    static_cast<void>(choose_gpus("CPU"));  // loads ggml's backends
    SeparateGpu::add();
    SeparateGpu::get().set_idle(0);
    profile_.threads = 1;
  }

  Result<bool> add(const std::vector<std::string>& types) {
    const auto choice = choose_gpus(SeparateGpu::kName);
    return choice ? add_gpus(profile_, *choice, types, {}, short_effort()) : propagate(choice.error());
  }

  MachineProfile profile_;
};

TEST_F(GpuMeasuringTest, WhatIsMeasuredOfAFastDeviceCanBeKept) {
  const auto added = add({"q4_0"});
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_TRUE(*added);
  ASSERT_EQ(profile_.gpus.size(), 1U);
  const TempDir folder;
  ASSERT_TRUE(store_profile(folder.path() / "profile.json", profile_, {}));
  const CachedProfile kept = load_profile(folder.path() / "profile.json", {});
  ASSERT_TRUE(kept.profile) << kept.problem;
  ASSERT_EQ(kept.profile->gpus.size(), 1U);
  EXPECT_EQ(kept.profile->gpus.front().kernels.size(), 1U);
  EXPECT_FALSE(*add({"q4_0"})) << "nothing is lacking";
  EXPECT_TRUE(*add({"q4_0", "f16"}));
  EXPECT_EQ(profile_.gpus.front().kernels.size(), 2U);
}

TEST_F(GpuMeasuringTest, WhatCouldNotBeMeasuredIsTriedAgain) {
  SeparateGpu::get().set_refused({GGML_OP_SCALE});
  ASSERT_TRUE(*add({"q4_0", "f16"}));
  ASSERT_EQ(profile_.gpus.size(), 1U);
  EXPECT_EQ(profile_.gpus.front().cut_seconds, 0);
  SeparateGpu::get().set_refused({});
  ASSERT_TRUE(*add({"q4_0"}));
  ASSERT_EQ(profile_.gpus.size(), 1U) << "in its place";
  EXPECT_GT(profile_.gpus.front().cut_seconds, 0);
  EXPECT_GT(profile_.gpus.front().operation_seconds, 0);
  EXPECT_EQ(profile_.gpus.front().kernels.size(), 2U) << "with the types that are known";
}

}  // namespace
}  // namespace hypura
