// Slow because of the tables that ggml makes before it quantises to iq1 and iq2: 15 s in all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/speed/compute_speed.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "support/units.h"

namespace hypura {
namespace {

TEST(ComputeSpeed, MeasuresEveryTypeThatWeightsCanHave) {
  ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
  std::vector<std::string> types;
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const char* name = ggml_type_name(static_cast<ggml_type>(i));
    if (name != nullptr && is_weight_type(name)) {
      types.emplace_back(name);
    }
  }
  EXPECT_THAT(types, testing::IsSupersetOf({"bf16", "q5_K", "iq1_s", "iq4_xs", "mxfp4"}));
  const auto speed = measure_compute(types, {.weight_bytes = kMiB, .matmul_size = 256, .seconds = 0});
  ASSERT_TRUE(speed) << speed.error().message;
  EXPECT_EQ(speed->kernels.size(), types.size());
}

}  // namespace
}  // namespace hypura
