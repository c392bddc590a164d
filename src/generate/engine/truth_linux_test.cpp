// Counters must be falsifiable: what we say was read is what the kernel says was read.

#include <gtest/gtest.h>

#include <string>

#include "generate/engine/reference_for_test.h"
#include "make_model/make_model.h"
#include "storage/process_reads.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

void compare(const std::string& arch, uint64_t memory) {
  const TempDir folder;
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
  options.run_history = false;
  auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  auto session = (*engine)->new_session();
  const uint64_t kernel_before = process_read_bytes().value_or(0);
  if (kernel_before == 0) {
    GTEST_SKIP() << "no /proc/self/io, or a file system that does not count";
  }
  const EngineStats before = (*engine)->stats();
  ASSERT_TRUE((*session)->evaluate(test_tokens(20)));
  const auto counted = static_cast<double>((*engine)->stats().since(before).streamed_bytes);
  const auto kernel = static_cast<double>(process_read_bytes().value_or(0) - kernel_before);
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
