// A GPU that fails in the middle of a run: an answer ends with an error, never the process. Where it had no memory
// left, the model is to be opened again, by a plan for what is free then. A device for which the processors compute
// stands for the GPU.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class GpuLost : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
  }
  void TearDown() override { SeparateGpu::get().set_failure(nullptr); }

  // With experts in slots, and of a dense model some layers.
  static std::vector<EngineOptions> models() {
    EngineOptions options;
    options.gpu = SeparateGpu::kName;
    options.memory = 64 * kMiB;
    options.context = 256;
    options.threads = 1;
    options.ubatch = 32;
    options.run_history = false;
    options.model = kModels / "hypura-stories-moe.gguf";
    options.vram = 36 * kMiB;
    std::vector<EngineOptions> all = {options};
    options.model = kModels / "hypura-stories-draft.gguf";
    options.vram = 5 * kMiB;
    all.push_back(options);
    return all;
  }

  static Status evaluate(EngineImpl& engine) {
    const auto session = engine.new_session();
    const auto logits = (*session)->evaluate(test_tokens(3));
    return logits ? Status() : Status(propagate(logits.error()));
  }
};

TEST_F(GpuLost, OutOfMemoryItIsToBeOpenedAgain) {
  for (const EngineOptions& its : models()) {
    const auto engine = open_engine(its, {});
    ASSERT_TRUE(engine) << engine.error().message;
    SCOPED_TRACE((*engine)->plan().sentence);
    ASSERT_TRUE((*engine)->plan().device);
    ASSERT_TRUE(evaluate(**engine));
    EXPECT_FALSE((*engine)->must_reopen());
    SeparateGpu::get().set_failure("vk::Device::allocateMemory: ErrorOutOfDeviceMemory");
    const Status failed = evaluate(**engine);
    SeparateGpu::get().set_failure(nullptr);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kBudget);
    EXPECT_THAT(failed.error().message,
                AllOf(HasSubstr("TestGpu has no memory left"), HasSubstr("open the model again")));
    EXPECT_TRUE((*engine)->must_reopen());
    EXPECT_EQ(evaluate(**engine).error().message, failed.error().message) << "what it holds is not known";
    EngineOptions less = its;
    less.vram = *its.vram * 9 / 10;
    const auto again = open_engine(less, {});
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(evaluate(**again));
  }
}

TEST_F(GpuLost, ADeviceThatIsLostIsAnError) {
  for (const EngineOptions& its : models()) {
    const auto engine = open_engine(its, {});
    ASSERT_TRUE(engine) << engine.error().message;
    SeparateGpu::get().set_failure("the device is lost");
    const Status failed = evaluate(**engine);
    SeparateGpu::get().set_failure(nullptr);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, HasSubstr("the device is lost"));
    EXPECT_FALSE((*engine)->must_reopen()) << "nobody knows whether it works again";
    EXPECT_FALSE(evaluate(**engine));
  }
}

}  // namespace
}  // namespace hypura
