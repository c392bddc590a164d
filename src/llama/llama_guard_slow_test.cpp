#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "ggml.h"
#include "llama/llama_guard.h"
#include "llama/llama_runtime.h"

namespace hypura {
namespace {

using testing::HasSubstr;

Status assert_in_ggml() {
  const ggml_init_params params = {1 << 16, nullptr, true};
  ggml_context* context = ggml_init(params);
  ggml_tensor* wide = ggml_new_tensor_2d(context, GGML_TYPE_F32, 3, 2);
  ggml_tensor* narrow = ggml_new_tensor_2d(context, GGML_TYPE_F32, 2, 2);
  ggml_mul_mat(context, wide, narrow);  // does not come back
  return {};
}

class Guard : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(init_llama()); }
};

TEST_F(Guard, AnAssertionIsAnError) {
  for (int i = 0; i < 3; ++i) {
    const Status status = guarded(ErrorCode::kBadModel, "m.gguf", assert_in_ggml);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kBadModel);
    EXPECT_THAT(status.error().message, testing::StartsWith("m.gguf: ggml.c:"));
    EXPECT_THAT(status.error().message, HasSubstr("ggml_can_mul_mat"));
  }
}

TEST_F(Guard, SoIsAnException) {
  const auto thrown = guarded(ErrorCode::kBadModel, "x", []() -> Result<int> { throw std::out_of_range("at"); });
  EXPECT_EQ(thrown.error().message, "x: at");
  const auto no_memory = guarded(ErrorCode::kBadModel, "x", []() -> Result<int> { throw std::bad_alloc(); });
  EXPECT_EQ(no_memory.error().code, ErrorCode::kInternal);
  EXPECT_EQ(guarded(ErrorCode::kBadModel, "x", []() -> Result<int> { return 3; }).value(), 3);
}

TEST_F(Guard, EachThreadHasItsOwn) {
  const LlamaGuard guard;
  EXPECT_EXIT(std::thread([] { static_cast<void>(assert_in_ggml()); }).join(), testing::ExitedWithCode(1),
              "hypura: error: llama.cpp stopped: ggml.c:");
}

using GuardDeathTest = Guard;

TEST_F(GuardDeathTest, WithoutOneThereIsOneLine) {
  EXPECT_EXIT(static_cast<void>(assert_in_ggml()), testing::ExitedWithCode(1),
              "^hypura: error: llama.cpp stopped: ggml.c:[0-9]+: GGML_ASSERT.* failed\n$");
  EXPECT_EXIT(std::thread([] { throw std::runtime_error("of no use"); }).join(), testing::ExitedWithCode(1),
              "^hypura: error: stopped by a failure that was not expected: of no use\n$");
}

TEST_F(GuardDeathTest, AKernelThatComputesCannotBeSurvived) {
  const LlamaGuard guard(Guarding::kPass);
  EXPECT_EXIT(ggml_abort("/a/ggml/src/ggml-cpu/ops.cpp", 3, "eps"), testing::ExitedWithCode(1), "ops.cpp:3: eps");
  EXPECT_THROW(ggml_abort("/a/src/llama-graph.cpp", 3, "scale"), std::exception);
}

TEST_F(Guard, ACrashIsSurvived) {
  for (const int signal : {SIGSEGV, SIGFPE, SIGBUS}) {
    bool went_on = false;
    EXPECT_FALSE(survives([&] {
      const LlamaGuard inside;
      std::raise(signal);
      went_on = true;
    }));
    EXPECT_FALSE(went_on);
  }
  EXPECT_TRUE(survives([] {}));
  EXPECT_EXIT(static_cast<void>(assert_in_ggml()), testing::ExitedWithCode(1), "stopped") << "no guard is left behind";
}

TEST_F(GuardDeathTest, ACrashElsewhereEndsTheProgramAsBefore) {
  EXPECT_TRUE(survives([] {}));
  EXPECT_DEATH(std::raise(SIGSEGV), "");
}

}  // namespace
}  // namespace hypura
