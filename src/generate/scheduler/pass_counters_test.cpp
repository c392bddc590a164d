#include "generate/scheduler/pass_counters.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(PassCounters, LinksAreBusyForAsLongAsTheirBytesTake) {
  EngineStats stats;
  stats.gpus.resize(3);
  for (GpuCounters& gpu : stats.gpus) {
    gpu.upload_bytes = 6'000'000'000;
  }
  add_links({40e9, 0, 20e9}, stats);
  EXPECT_DOUBLE_EQ(stats.gpus[0].link_busy_seconds, 0.15);
  EXPECT_EQ(stats.gpus[1].link_busy_seconds, 0) << "not measured";
  EXPECT_DOUBLE_EQ(stats.gpus[2].link_busy_seconds, 0.3);
  EXPECT_DOUBLE_EQ(stats.gpu_link_busy_seconds, 0.45);
  EngineStats none;
  add_links({40e9}, none);
  EXPECT_EQ(none.gpu_link_busy_seconds, 0) << "nothing has slots there";
}

}  // namespace
}  // namespace hypura
