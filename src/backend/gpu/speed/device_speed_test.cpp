// Over the CPU, taken for a GPU, and over a GPU where ggml has one.
#include "backend/gpu/speed/device_speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "backend/gpu/separate_gpu_for_test.h"
#include "backend/gpu/speed/device_bench.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

GpuTest soon() {
  GpuTest test;
  test.weight_bytes = 4 * kMiB;
  test.copy_bytes = kMiB;
  test.matmul_size = 256;
  test.seconds = 0;
  return test;
}

class DeviceSpeedTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR); }
};

std::vector<std::string> measurable_devices() {
  std::vector<std::string> names;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type == GGML_BACKEND_DEVICE_TYPE_CPU || type == GGML_BACKEND_DEVICE_TYPE_GPU ||
        type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
      names.emplace_back(ggml_backend_dev_name(device));
    }
  }
  return names;
}

void expect_measured(const GpuProductSpeed& speed) {
  EXPECT_GT(speed.seconds, 0);
  EXPECT_GT(speed.matvec_bytes_per_second, 0);
  EXPECT_GT(speed.matmul_flops, 0);
  EXPECT_GT(speed.large_matmul_flops, 0);
}

TEST_F(DeviceSpeedTest, MeasuresAllThatThereIs) {
  const std::vector<std::string> types = {"f16", "q4_0", "q6_K"};
  for (const std::string& name : measurable_devices()) {
    SCOPED_TRACE(name);
    double last = 0;
    GpuTest test = soon();
    test.progress = [&](double share) {
      EXPECT_GE(share, last);
      last = share;
    };
    const auto profile = measure_gpu(name, types, test);
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_EQ(last, 1);
    EXPECT_EQ(profile->name, name);
    EXPECT_NE(profile->description, "");
    EXPECT_GT(profile->operation_seconds, 0);
    EXPECT_GT(profile->cut_seconds, 0);
    EXPECT_GT(profile->unpinned_upload_bytes_per_second, 0);
    ASSERT_EQ(profile->copies.size(), 3U) << "no larger than the memory that is copied";
    EXPECT_EQ(profile->copies.front().bytes, 64 * kKiB);
    EXPECT_EQ(profile->copies.back().bytes, kMiB);
    for (const CopyPoint& copy : profile->copies) {
      EXPECT_GT(copy.upload_bytes_per_second, 0);
      EXPECT_GT(copy.download_bytes_per_second, 0);
    }
    ASSERT_EQ(profile->kernels.size(), types.size());
    for (size_t i = 0; i < types.size(); ++i) {
      SCOPED_TRACE(types[i]);
      EXPECT_EQ(profile->kernels[i].type, types[i]);
      expect_measured(profile->kernels[i].matrix);
      expect_measured(profile->kernels[i].experts);
    }
  }
}

TEST_F(DeviceSpeedTest, MeasuresAttentionWhereTheMemoryHoldsALayer) {
  GpuTest test = soon();
  const auto none = measure_gpu("CPU", {}, test);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(none->attention_per_second, 0);
  EXPECT_FALSE(none->pinned) << "the CPU copies from any memory";
  EXPECT_FALSE(none->registers_memory);
  test.weight_bytes = 40 * kMiB;
  const auto two = measure_gpu("CPU", {}, test);
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_GT(two->attention_per_second, 0);
}

TEST_F(DeviceSpeedTest, RefusesWhatThereIsNot) {
  const auto device = measure_gpu("GPU17", {}, soon());
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kUsage);
  EXPECT_THAT(device.error().message, HasSubstr("'GPU17'"));
  const std::string type = "q8_1";
  const auto kernels = measure_gpu_kernels("CPU", {&type, 1}, soon());
  ASSERT_FALSE(kernels);
  EXPECT_EQ(kernels.error().code, ErrorCode::kUsage);
  EXPECT_THAT(kernels.error().message, HasSubstr("'q8_1'"));
}

TEST_F(DeviceSpeedTest, MeasuresTypesAlone) {
  const std::vector<std::string> types = {"q8_0"};
  const auto kernels = measure_gpu_kernels("CPU", types, soon());
  ASSERT_TRUE(kernels) << kernels.error().message;
  ASSERT_EQ(kernels->size(), 1U);
  EXPECT_EQ(kernels->front().type, "q8_0");
  expect_measured(kernels->front().experts);
}

// Clocks that no device could be measured with.
std::vector<RunClock> useless_clocks() {
  const auto random = std::make_shared<std::minstd_rand>(7);
  const auto now = std::make_shared<double>(0);
  return {
      [] { return 1.0; },              // stands still
      [now] { return *now += 1e-9; },  // all times are equal, and next to nothing
      [now, random] {                  // the time that passes is any
        return *now += 1e-3 * static_cast<double>((*random)() % 1000);
      },
      [now, random] { return *now += (*random)() % 2 == 0 ? 0 : 1e-7; },
  };
}

GpuTest small_test() {
  GpuTest test = soon();
  test.weight_bytes = 40 * kMiB;  // with attention
  return test;
}

void expect_number(double figure) {
  EXPECT_TRUE(std::isfinite(figure)) << figure;
  EXPECT_GT(figure, 0);
}

void expect_numbers(const GpuProductSpeed& speed) {
  for (const double figure :
       {speed.seconds, speed.matvec_bytes_per_second, speed.matmul_flops, speed.large_matmul_flops}) {
    expect_number(figure);
  }
}

TEST_F(DeviceSpeedTest, IsMeasuredHoweverFastTheDeviceIs) {
  SeparateGpu::add();
  SeparateGpu::get().set_idle(0);
  const std::vector<std::string> types = {"f32", "q4_0"};
  for (const RunClock& clock : useless_clocks()) {
    GpuTest test = small_test();
    test.clock = clock;
    const auto profile = measure_gpu(SeparateGpu::kName, types, test);
    ASSERT_TRUE(profile) << profile.error().message;
    expect_number(profile->unpinned_upload_bytes_per_second);
    expect_number(profile->cut_seconds);
    expect_number(profile->operation_seconds);
    expect_number(profile->attention_per_second);
    for (const CopyPoint& copy : profile->copies) {
      expect_number(copy.upload_bytes_per_second);
      expect_number(copy.download_bytes_per_second);
    }
    ASSERT_EQ(profile->kernels.size(), types.size());
    for (const GpuKernelSpeed& kernel : profile->kernels) {
      expect_numbers(kernel.matrix);
      expect_numbers(kernel.experts);
    }
  }
}

TEST_F(DeviceSpeedTest, WhatNumbersADeviceMakesIsNoMatter) {
  SeparateGpu::add();
  const std::vector<std::string> types = {"f16"};
  for (const float result : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    SeparateGpu::get().set_idle(result);
    const auto profile = measure_gpu(SeparateGpu::kName, types, soon());
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_EQ(profile->kernels.size(), 1U);
  }
}

struct DevicePart {
  std::vector<ggml_op> refused;
  std::string name;
};

TEST_F(DeviceSpeedTest, APartThatCannotBeMeasuredIsNamedAndTheRestIs) {
  SeparateGpu::add();
  SeparateGpu::get().set_idle(1);
  const std::vector<std::string> types = {"q4_0"};
  const std::vector<DevicePart> parts = {{{GGML_OP_SCALE}, "small operations"},
                                         {{GGML_OP_SCALE}, "graphs in segments"},
                                         {{GGML_OP_FLASH_ATTN_EXT}, "attention"},
                                         {{GGML_OP_MUL_MAT}, "q4_0 weights"}};
  for (const DevicePart& part : parts) {
    SCOPED_TRACE(part.name);
    SeparateGpu::get().set_refused(part.refused);
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    const auto profile = measure_gpu(SeparateGpu::kName, types, small_test());
    const std::string log = testing::internal::GetCapturedStderr() + testing::internal::GetCapturedStdout();
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_THAT(log, HasSubstr("TestGpu was measured without " + part.name));
    const bool small = part.refused.front() == GGML_OP_SCALE;
    EXPECT_EQ(profile->operation_seconds == 0, small);
    EXPECT_EQ(profile->cut_seconds == 0, small);
    EXPECT_EQ(profile->attention_per_second == 0, part.refused.front() == GGML_OP_FLASH_ATTN_EXT);
    EXPECT_EQ(profile->kernels.empty(), part.refused.front() == GGML_OP_MUL_MAT);
    EXPECT_EQ(profile->copies.size(), 3U);
  }
  SeparateGpu::get().set_refused({GGML_OP_SCALE, GGML_OP_MUL_MAT});
  const auto nothing = measure_gpu(SeparateGpu::kName, types, small_test());
  ASSERT_FALSE(nothing) << "it computes nothing";
  EXPECT_EQ(nothing.error().code, ErrorCode::kInternal);
}

class BenchGraphTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR); }
  BenchGraphTest() {
    bench_ = std::move(*DeviceBench::create(ggml_backend_dev_by_name("CPU"), {kMiB, kMiB, 1, nullptr, {}}));
  }

  std::unique_ptr<DeviceBench> bench_;
};

TEST_F(BenchGraphTest, ComputesWithTheWeightsThatWereFilledIn) {
  const std::vector<float> pattern = {2, 3};
  bench_->fill(std::as_bytes(std::span(pattern)));
  BenchGraph graph(*bench_, 1);
  ggml_tensor* weights = graph.weights(GGML_TYPE_F32, 4 * 256 * sizeof(float), 4, 2);
  ggml_tensor* product = ggml_mul_mat(graph.context(), weights, graph.constant(GGML_TYPE_F32, 1, 4));
  ASSERT_TRUE(graph.finish(product));
  EXPECT_TRUE(graph.supported());
  const auto seconds = graph.time(0);
  ASSERT_TRUE(seconds) << seconds.error().message;
  EXPECT_GT(*seconds, 0);
  std::array<float, 2> result{};
  ggml_backend_tensor_get(product, result.data(), 0, sizeof(result));
  EXPECT_EQ(result, (std::array<float, 2>{10, 10}));
}

TEST_F(BenchGraphTest, InputsAreThereForEveryRun) {
  BenchGraph graph(*bench_, 3);
  ggml_tensor* x = graph.constant(GGML_TYPE_F32, 1, 8);
  for (int i = 0; i < 3; ++i) {
    x = ggml_scale(graph.context(), x, 2);
  }
  ASSERT_TRUE(graph.finish(x));
  ASSERT_TRUE(graph.time(0));
  ASSERT_TRUE(graph.time(0));
  float result = 0;
  ggml_backend_tensor_get(x, &result, 0, sizeof(result));
  EXPECT_EQ(result, 8);
}

TEST_F(BenchGraphTest, WhatDoesNotComputeIsAnError) {
  BenchGraph graph(*bench_, 1);
  ASSERT_TRUE(graph.finish(ggml_scale(graph.context(), graph.constant(GGML_TYPE_F32, 1, 8), 2)));
  const auto left_out = graph.time(0, [] { return true; });
  ASSERT_FALSE(left_out);
  EXPECT_THAT(left_out.error().message, HasSubstr("left out"));
  EXPECT_EQ(left_out.error().code, ErrorCode::kInternal);
  const auto refused = graph.time(0, [] { return false; });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("CPU could not compute"));
}

TEST_F(BenchGraphTest, WhatADeviceHasNoKernelForIsKnownBefore) {
  BenchGraph graph(*bench_, 1);
  ggml_tensor* columns = graph.constant(GGML_TYPE_F16, 1, 256);
  ASSERT_TRUE(graph.finish(ggml_mul_mat(graph.context(), graph.weights(GGML_TYPE_Q4_K, 0, 256, 4), columns)));
  EXPECT_FALSE(graph.supported()) << "the CPU multiplies these by floats only";
}

}  // namespace
}  // namespace hypura
