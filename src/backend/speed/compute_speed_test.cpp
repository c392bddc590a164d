#include "backend/speed/compute_speed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/repacked_layout.h"
#include "backend/speed/compute_bench.h"
#include "backend/speed/product_loop.h"
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
  EXPECT_GT(speed->prompt_attention_per_second, 0);
  EXPECT_EQ(last, 1);
  ASSERT_EQ(speed->kernels.size(), types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ(speed->kernels[i].type, types[i]);
    EXPECT_GT(speed->kernels[i].matvec_bytes_per_second, 0);
    EXPECT_GT(speed->kernels[i].matmul_flops, 0);
    const bool repacked = has_repacked_layout(*weight_type(types[i]), 256, 256);
    EXPECT_EQ(speed->kernels[i].repacked_matvec_bytes_per_second > 0, repacked) << types[i];
    EXPECT_EQ(speed->kernels[i].repacked_matmul_flops > 0, repacked) << types[i];
    EXPECT_EQ(speed->kernels[i].repack_bytes_per_second > 0, repacked) << types[i];
    EXPECT_GT(speed->kernels[i].expert_matmul_flops, 0) << types[i];
    EXPECT_EQ(speed->kernels[i].repacked_expert_matmul_flops > 0, repacked) << types[i];
    const bool own = has_own_layout(*weight_type(types[i]), 256);
    EXPECT_EQ(speed->kernels[i].resident_matvec_bytes_per_second > 0, own) << types[i];
    EXPECT_EQ(speed->kernels[i].resident_matmul_flops > 0, own) << types[i];
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

}  // namespace
}  // namespace hypura
