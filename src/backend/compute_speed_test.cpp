#include "backend/compute_speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/compute_bench.h"
#include "backend/devices.h"
#include "backend/product_loop.h"
#include "backend/repacked_layout.h"
#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class ComputeSpeedTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR); }
  static ComputeTest quick() { return {.weight_bytes = kMiB, .matmul_size = 256, .seconds = 0}; }
};

TEST_F(ComputeSpeedTest, MeasuresTheUsualTypes) {
  double last = 0;
  ComputeTest test = quick();
  test.progress = [&](double share) {
    EXPECT_GT(share, last);
    last = share;
  };
  const std::vector<std::string> types = usual_types();
  const auto speed = measure_compute(types, test);
  ASSERT_TRUE(speed) << speed.error().message;
  EXPECT_GT(speed->operation_seconds, 0);
  EXPECT_GT(speed->attention_per_second, 0);
  EXPECT_EQ(last, 1);
  ASSERT_EQ(speed->kernels.size(), types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ(speed->kernels[i].type, types[i]);
    EXPECT_GT(speed->kernels[i].matvec_bytes_per_second, 0);
    EXPECT_GT(speed->kernels[i].matmul_flops, 0);
    const bool repacked = has_repacked_layout(*weight_type(types[i]), 256, 256);
    EXPECT_EQ(speed->kernels[i].repacked_matvec_bytes_per_second > 0, repacked) << types[i];
    EXPECT_EQ(speed->kernels[i].repacked_matmul_flops > 0, repacked) << types[i];
  }
}

TEST_F(ComputeSpeedTest, RefusesWhatIsNoWeightType) {
  for (const std::string type : {"", "i32", "q8_1", "q4_7", "Q4_0"}) {
    EXPECT_FALSE(is_weight_type(type)) << type;
    const auto speed = measure_compute({&type, 1}, quick());
    ASSERT_FALSE(speed);
    EXPECT_EQ(speed.error().code, ErrorCode::kUsage);
    EXPECT_THAT(speed.error().message, HasSubstr("'" + type + "'"));
  }
}

TEST_F(ComputeSpeedTest, NothingToMeasureIsTheOperationAlone) {
  const auto speed = measure_compute({}, quick());
  ASSERT_TRUE(speed) << speed.error().message;
  EXPECT_TRUE(speed->kernels.empty());
  EXPECT_GT(speed->operation_seconds, 0);
}

TEST_F(ComputeSpeedTest, AProductIsTimedAgainAndAgain) {
  const auto loop = ProductLoop::create("q4_0", quick());
  ASSERT_TRUE(loop) << loop.error().message;
  for (int time = 0; time < 2; ++time) {
    const auto rate = (*loop)->rate(0);
    ASSERT_TRUE(rate) << rate.error().message;
    EXPECT_GT(*rate, 0);
  }
  EXPECT_EQ(ProductLoop::create("i32", quick()).error().code, ErrorCode::kUsage);
}

// A device that calls itself a GPU and keeps its bytes in RAM.
class FakeGpu {
 public:
  FakeGpu() {
    device_.iface.get_name = [](ggml_backend_dev_t) { return "Fake0"; };
    device_.iface.get_description = [](ggml_backend_dev_t) { return "a test's GPU"; };
    device_.iface.get_memory = [](ggml_backend_dev_t, size_t* free, size_t* total) {
      *free = 3 * kGiB;
      *total = 4 * kGiB;
    };
    device_.iface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    device_.iface.get_props = [](ggml_backend_dev_t dev, ggml_backend_dev_props* props) {
      *props = {};
      props->name = dev->iface.get_name(dev);
      props->description = dev->iface.get_description(dev);
      props->type = dev->iface.get_type(dev);
      dev->iface.get_memory(dev, &props->memory_free, &props->memory_total);
    };
    ggml_backend_device_register(&device_);
  }

 private:
  ggml_backend_device device_{};
};

TEST_F(ComputeSpeedTest, DevicesAreListed) {
  static const FakeGpu kGpu;  // registered for the rest of the process
  const std::vector<DeviceInfo> devices = list_devices();
  const auto named = [&](const std::string& name) {
    for (const DeviceInfo& device : devices) {
      if (device.name == name) {
        return device;
      }
    }
    ADD_FAILURE() << "no device " << name;
    return DeviceInfo{};
  };
  EXPECT_EQ(named("CPU").kind, "cpu");
  EXPECT_GT(named("CPU").memory_total, 0U);
  const DeviceInfo fake = named("Fake0");
  EXPECT_EQ(fake.kind, "gpu");
  EXPECT_EQ(fake.description, "a test's GPU");
  EXPECT_EQ(fake.memory_free, 3 * kGiB);
  EXPECT_EQ(fake.memory_total, 4 * kGiB);
  EXPECT_FALSE(fake.unified);
}

}  // namespace
}  // namespace hypura
