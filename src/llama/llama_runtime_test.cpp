#include "llama/llama_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llama.h"

namespace hypura {
namespace {

TEST(LlamaVersion, LibrariesAreWhatWasCompiledFor) {
  EXPECT_TRUE(check_llama_version(llama_version(), HYPURA_LLAMA_VERSION));
  EXPECT_TRUE(check_llama_version("1.2.3-dev", "1.2.3"));
}

TEST(LlamaVersion, OthersAreRefused) {
  for (const char* found : {"1.2.4", "1.2.30", "1.2", ""}) {
    const Status status = check_llama_version(found, "1.2.3");
    ASSERT_FALSE(status) << found;
    EXPECT_THAT(status.error().message, testing::HasSubstr("compiled for llama.cpp 1.2.3"));
    EXPECT_THAT(status.error().message, testing::HasSubstr("HYPURA_LLAMA_OWN_SOURCE"));
  }
}

}  // namespace
}  // namespace hypura
