// Counters must be falsifiable: what we say was read is what the kernel says was read.

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "engine/test_reference.h"
#include "make_model/make_model.h"
#include "support/units.h"

namespace hypura {
namespace {

uint64_t kernel_read_bytes() {
  std::ifstream io("/proc/self/io");
  std::string key;
  uint64_t value = 0;
  while (io >> key >> value) {
    if (key == "read_bytes:") {
      return value;
    }
  }
  return 0;
}

void compare(const std::string& arch, uint64_t memory) {
  const TemporaryFolder folder;
  ModelSpec spec;
  spec.arch = arch;
  spec.size = 120 * kMiB;
  spec.output = folder.path() / "model.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  EngineOptions options;
  options.model = *path;
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.remember = false;
  auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  auto session = (*engine)->new_session();
  const uint64_t kernel_before = kernel_read_bytes();
  if (kernel_before == 0) {
    GTEST_SKIP() << "no /proc/self/io, or a file system that does not count";
  }
  const EngineStats before = (*engine)->stats();
  ASSERT_TRUE((*session)->evaluate(test_tokens(20)));
  const auto counted = static_cast<double>((*engine)->stats().since(before).streamed_bytes);
  const auto kernel = static_cast<double>(kernel_read_bytes() - kernel_before);
  ASSERT_GT(kernel, static_cast<double>(20 * kMiB));
  // The ring reads ahead: up to 16 chunks of 1 MiB under way are counted by the kernel when asked for, by us when they
  // arrive.
  EXPECT_NEAR(counted / kernel, 1.0, 0.01 + (arch == "dense" ? 16.0 * kMiB / kernel : 0.0));
}

TEST(Truth, ExpertStreamingCountsWhatTheKernelCounts) {
  compare("qwen3moe", 60 * kMiB);
}

TEST(Truth, DenseStreamingCountsWhatTheKernelCounts) {
  compare("dense", 60 * kMiB);
}

}  // namespace
}  // namespace hypura
