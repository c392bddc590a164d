#include "plan/gpu_speeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ggml.h"
#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

GpuProfile some_gpu() {
  GpuProfile gpu;
  gpu.name = "CUDA0";
  gpu.description = "Some GPU";
  gpu.copies = {{64 * kKiB, 10e9, 8e9}, {kMiB, 40e9, 30e9}, {4 * kMiB, 50e9, 45e9}};
  gpu.cut_seconds = 15e-6;
  gpu.operation_seconds = 2e-6;
  gpu.attention_per_second = 1e12;
  gpu.kernels = {{"q4_0", {5e-6, 2e12, 3e14, 4e14}, {6e-6, 1e12, 1e14, 2e14}},
                 {"f16", {4e-6, 3e12, 5e14, 5e14}, {5e-6, 2e12, 1e14, 2e14}},
                 {"q2_K", {}, {}}};
  return gpu;
}

GpuDeviceInfo device() {
  GpuDeviceInfo info;
  info.name = "CUDA0";
  info.description = "Some GPU";
  info.backend = "CUDA";
  return info;
}

TEST(GpuFigures, AMatrixTakesItsLeastAndItsBytesOrItsRows) {
  const GpuProfile profile = some_gpu();
  const GpuFigures gpu(&profile, device());
  EXPECT_EQ(gpu.assumption(), "");
  const PassSeconds some = gpu.matrix(GGML_TYPE_Q4_0, 40e6, 70e6, 512);
  EXPECT_NEAR(some.first, 5e-6 + 40e6 / 2e12, 1e-12);
  EXPECT_NEAR(some.of(512), 5e-6 + 512 * 2 * 70e6 / 3e14, 1e-9);
  EXPECT_NEAR(gpu.matrix(GGML_TYPE_Q4_0, 40e6, 70e6, 2048).of(2048), 5e-6 + 2048 * 2 * 70e6 / 4e14, 1e-9);
  EXPECT_NEAR(gpu.matrix(GGML_TYPE_Q4_0, 40e6, 70e6, 1024).of(1024), 5e-6 + 1024 * 2 * 70e6 / 3.5e14, 1e-9);
  EXPECT_EQ(gpu.matrix(GGML_TYPE_Q4_0, 40e6, 70e6, 1).more, 0);
  EXPECT_EQ(gpu.matrix(GGML_TYPE_Q4_0, 40e6, 70e3, 4).more, 0) << "few rows cost the bytes alone";
}

TEST(GpuFigures, ATypeThatWasNotMeasuredIsTakenForTheSlowest) {
  const GpuProfile profile = some_gpu();
  const GpuFigures gpu(&profile, device());
  EXPECT_EQ(gpu.matrix(GGML_TYPE_Q8_0, 4e6, 4e6, 512).first, gpu.matrix(GGML_TYPE_Q4_0, 4e6, 4e6, 512).first);
  EXPECT_FALSE(gpu.lacks(GGML_TYPE_Q8_0, false)) << "nobody knows";
  EXPECT_TRUE(gpu.lacks(GGML_TYPE_Q2_K, false));
  EXPECT_TRUE(gpu.lacks(GGML_TYPE_Q2_K, true));
  EXPECT_FALSE(gpu.lacks(GGML_TYPE_F16, true));
}

TEST(GpuFigures, CopiesLieBetweenThoseThatWereMeasured) {
  const GpuProfile profile = some_gpu();
  const GpuFigures gpu(&profile, device());
  EXPECT_NEAR(gpu.upload(kMiB), kMiB / 40e9, 1e-12);
  EXPECT_NEAR(gpu.download(kMiB), kMiB / 30e9, 1e-12);
  EXPECT_NEAR(gpu.upload(40 * kMiB), 40 * kMiB / 50e9, 1e-12) << "larger ones at the rate of the largest";
  EXPECT_NEAR(gpu.upload(100), 64 * kKiB / 10e9, 1e-12) << "smaller ones take as long as the smallest";
  double last = 0;
  for (double bytes = 1000; bytes < 1e8; bytes *= 1.3) {
    EXPECT_GE(gpu.upload(bytes), last) << bytes;
    last = gpu.upload(bytes);
  }
}

TEST(GpuFigures, WhatIsNotMeasuredIsAssumedAndSaid) {
  const GpuFigures none(nullptr, device());
  EXPECT_EQ(none.assumption(), " by assumed speeds of CUDA0 (`hypura profile` measures it)");
  GpuProfile empty;
  EXPECT_EQ(GpuFigures(&empty, device()).assumption(), none.assumption());
  GpuProfile senseless = some_gpu();
  senseless.copies.front().download_bytes_per_second = 0;
  EXPECT_EQ(GpuFigures(&senseless, device()).assumption(), none.assumption());
  for (const char* backend : {"CUDA", "Vulkan", "Metal", "CPU", "another"}) {
    GpuDeviceInfo info = device();
    info.backend = backend;
    const GpuFigures gpu(nullptr, info);
    EXPECT_GT(gpu.upload(kMiB), 0) << backend;
    EXPECT_GT(gpu.download(kMiB), 0);
    EXPECT_GT(gpu.cut(), 0);
    EXPECT_GT(gpu.matrix(GGML_TYPE_Q4_0, 1e6, 2e6, 512).first, 0);
    EXPECT_GT(gpu.experts_least(GGML_TYPE_Q4_0), 0);
    EXPECT_FALSE(gpu.lacks(GGML_TYPE_Q2_K, true));
  }
  GpuDeviceInfo integrated = device();
  integrated.integrated = true;
  EXPECT_THAT(GpuFigures(nullptr, integrated).assumption(), HasSubstr("`hypura profile --gpu CUDA0`"))
      << "which is not measured unless it is named";
  GpuProfile no_attention = some_gpu();
  no_attention.attention_per_second = 0;
  const GpuFigures assumed(&no_attention, device());
  EXPECT_EQ(assumed.assumption(), "");
  EXPECT_EQ(assumed.attention(1e9), none.attention(1e9));
}

TEST(GpuFigures, APartThatWasNotMeasuredIsAssumedByItself) {
  const GpuProfile whole = some_gpu();
  const GpuFigures all(&whole, device());
  const GpuFigures none(nullptr, device());
  GpuProfile profile = whole;
  profile.copies.clear();
  const GpuFigures no_copies(&profile, device());
  EXPECT_EQ(no_copies.assumption(), none.assumption());
  EXPECT_EQ(no_copies.upload(kMiB), none.upload(kMiB));
  EXPECT_EQ(no_copies.operation(), all.operation());
  EXPECT_EQ(no_copies.matrix(GGML_TYPE_Q4_0, 4e6, 4e6, 512).first, all.matrix(GGML_TYPE_Q4_0, 4e6, 4e6, 512).first);
  profile = whole;
  profile.kernels.clear();
  const GpuFigures no_products(&profile, device());
  EXPECT_EQ(no_products.assumption(), none.assumption());
  EXPECT_EQ(no_products.expert_bytes(GGML_TYPE_Q4_0, 1e6), none.expert_bytes(GGML_TYPE_Q4_0, 1e6));
  EXPECT_EQ(no_products.upload(kMiB), all.upload(kMiB));
  profile = whole;
  profile.operation_seconds = profile.cut_seconds = 0;
  const GpuFigures no_times(&profile, device());
  EXPECT_EQ(no_times.operation(), none.operation());
  EXPECT_EQ(no_times.cut(), none.cut());
  EXPECT_EQ(no_times.expert_bytes(GGML_TYPE_Q4_0, 1e6), all.expert_bytes(GGML_TYPE_Q4_0, 1e6));
}

class GpuSpeedsTest : public testing::Test {
 protected:
  GpuSpeedsTest() : model_(*open_model(kModels / "hypura-stories-moe.gguf")) {}
  GpuSpeeds speeds(const GpuProfile& profile, uint32_t ubatch = 512) const {
    return gpu_speeds(GpuFigures(&profile, device()), request_, problem_, ubatch);
  }

  Model model_;
  EngineOptions options_;
  RunHistory history_;
  OpenRequest request_{options_, model_, kGiB, 2, 256, history_};
  PlacementProblem problem_ = *placement_problem(request_);
};

TEST_F(GpuSpeedsTest, GoesWithTheProblemOfItsModel) {
  const GpuSpeeds gpu = speeds(some_gpu());
  EXPECT_EQ(gpu.dense.size(), lay_out(model_, true, true).dense.size()) << "a GPU takes matrices whole";
  ASSERT_EQ(gpu.experts.size(), problem_.experts.size());
  EXPECT_GT(gpu.experts.front().first, 0);
  EXPECT_NEAR(gpu.sync_seconds, 15e-6, 2e-5);
  EXPECT_GE(gpu.sync_seconds, 15e-6);
  EXPECT_GT(gpu.upload_bytes_per_second, 0);
  EXPECT_LE(gpu.upload_bytes_per_second, 50e9);
  EXPECT_LT(gpu.download_bytes_per_second, gpu.upload_bytes_per_second);
}

TEST_F(GpuSpeedsTest, AWholePassIsTheSumOfItsParts) {
  const GpuSpeeds gpu = speeds(some_gpu());
  double token = gpu.rest.first;
  double prompt = gpu.rest.of(512);
  for (const PassSeconds& it : gpu.dense) {
    token += it.first;
    prompt += it.of(512);
  }
  const ExpertGroup& group = problem_.experts.front();
  token += group.layers * group.used * gpu.experts.front().first;
  EXPECT_NEAR(gpu.resident.first, token, 1e-9);
  EXPECT_GT(gpu.resident.of(512), prompt);
  const double weights = static_cast<double>(problem_.dense_bytes() + problem_.expert_bytes);
  EXPECT_LT(gpu.resident.first, weights / 1e12 + 1e-2) << "no more than the weights and some launches";
}

TEST_F(GpuSpeedsTest, AFasterGpuIsFaster) {
  const GpuSpeeds usual = speeds(some_gpu());
  GpuProfile bandwidth = some_gpu();
  GpuProfile flops = some_gpu();
  for (GpuProfile* it : {&bandwidth, &flops}) {
    for (GpuKernelSpeed& kernel : it->kernels) {
      for (GpuProductSpeed* speed : {&kernel.matrix, &kernel.experts}) {
        speed->matvec_bytes_per_second *= it == &bandwidth ? 2 : 1;
        speed->matmul_flops *= it == &flops ? 2 : 1;
        speed->large_matmul_flops *= it == &flops ? 2 : 1;
      }
    }
  }
  EXPECT_LT(speeds(bandwidth).resident.first, usual.resident.first);
  EXPECT_NEAR(speeds(bandwidth).experts.front().first, usual.experts.front().first / 2, 1e-12);
  EXPECT_EQ(speeds(flops).resident.first, usual.resident.first) << "one token";
  EXPECT_LE(speeds(flops).resident.of(512), usual.resident.of(512));
  EXPECT_LT(speeds(flops, 4096).resident.of(4096), speeds(some_gpu(), 4096).resident.of(4096));

  GpuProfile launches = some_gpu();
  launches.operation_seconds /= 2;
  EXPECT_LT(speeds(launches).resident.first, usual.resident.first);
  EXPECT_EQ(speeds(launches).experts.front().first, usual.experts.front().first);
  GpuProfile cuts = some_gpu();
  cuts.cut_seconds *= 2;
  EXPECT_NEAR(speeds(cuts).sync_seconds - usual.sync_seconds, 15e-6, 1e-12);
  EXPECT_EQ(speeds(cuts).resident.first, usual.resident.first) << "nothing is cut there";
}

TEST_F(GpuSpeedsTest, LongerPassesTakeLongerAndTokensLess) {
  double last = 0;
  double of_one = 1;
  for (const uint32_t tokens : {2U, 32U, 512U, 1024U, 2048U, 4096U}) {
    const double seconds = speeds(some_gpu(), tokens).resident.of(tokens);
    EXPECT_GE(seconds, last) << tokens;
    EXPECT_LE(seconds / tokens, of_one) << tokens;
    last = seconds;
    of_one = seconds / tokens;
  }
}

TEST_F(GpuSpeedsTest, TokensInTheContextCount) {
  EngineOptions options;
  options.predicted_at = 200;
  const OpenRequest request{options, model_, kGiB, 2, 256, history_};
  const GpuProfile profile = some_gpu();
  const GpuSpeeds later = gpu_speeds(GpuFigures(&profile, device()), request, problem_, 512);
  EXPECT_NEAR(later.resident.first - speeds(profile).resident.first, 200 * later.attention, 1e-12);
}

TEST_F(GpuSpeedsTest, ATypeWithoutAKernelIsNamed) {
  GpuProfile profile = some_gpu();
  EXPECT_EQ(type_without_kernel(GpuFigures(&profile, device()), model_), "");
  profile.kernels.front().experts = {};
  EXPECT_EQ(type_without_kernel(GpuFigures(&profile, device()), model_), "q4_0");
}

}  // namespace
}  // namespace hypura
