#include "plan/gpu_choice.h"

#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

ChosenDevice device(const std::string& name, uint64_t vram, const std::string& remark) {
  ChosenDevice device;
  device.info.name = name;
  device.vram = vram;
  device.remark = remark;
  return device;
}

TEST(GpuChoice, IsSaidInWords) {
  ChosenGpu gpu;
  EXPECT_FALSE(gpu.exists());
  EXPECT_EQ(gpu.name(), "");
  gpu.devices = {device("CUDA0", 10, " beside 384.0 MiB for its driver"), device("CUDA1", 20, ""),
                 device("CUDA2", 5, " (lowered from 8.0 GiB)")};
  EXPECT_EQ(gpu.name(), "CUDA0, CUDA1 and CUDA2");
  EXPECT_EQ(gpu.vram(), 35U);
  EXPECT_EQ(gpu.remark({"CUDA0"}), " beside 384.0 MiB for its driver") << "of what is used";
  EXPECT_EQ(gpu.remark({"CUDA1"}), "");
  EXPECT_EQ(gpu.remark({"CUDA0", "CUDA1", "CUDA2"}),
            " (CUDA0 beside 384.0 MiB for its driver; CUDA2 (lowered from 8.0 GiB))");
  EXPECT_EQ(joined_names({"CUDA0", "CUDA1"}), "CUDA0 and CUDA1");
}

// What a plan is made for is what a run gets: less what the GPU's driver takes of RAM.
TEST(GpuChoice, ADriversRamIsNoneOfThePlans) {
  ChosenGpu gpu;
  gpu.devices = {device("CUDA0", kGiB, "")};
  gpu.devices.front().info.backend = "CUDA";
  EngineOptions options;
  options.memory = kGiB;
  std::string beyond;
  const auto most = choose_budget(options);
  ASSERT_TRUE(most);
  const auto run = beside_gpu(options, gpu, *most);
  const auto planned = planned_budget(options, gpu, beyond);
  ASSERT_TRUE(run && planned);
  EXPECT_LT(run->bytes, kGiB);
  EXPECT_EQ(planned->bytes, run->bytes);
  EXPECT_EQ(beyond, "");
  options.memory = uint64_t{1} << 50;  // another machine's
  const auto other = planned_budget(options, gpu, beyond);
  ASSERT_TRUE(other);
  EXPECT_EQ(*options.memory - other->bytes, kGiB - run->bytes);
  EXPECT_NE(beyond, "");
}

}  // namespace
}  // namespace hypura
