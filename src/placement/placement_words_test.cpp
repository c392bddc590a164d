#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hypura/placement.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(PlacementWords, WhatIsPrintedCanBeRead) {
  for (const Mode mode : {Mode::kResident, Mode::kExpertStreaming, Mode::kDenseStreaming, Mode::kMixedStreaming}) {
    EXPECT_EQ(*parse_mode(to_string(mode)), mode);
  }
  for (const KvType type : {KvType::kF16, KvType::kQ8_0, KvType::kAuto}) {
    EXPECT_EQ(*parse_kv_type(to_string(type)), type);
  }
  for (const ReadAhead way : {ReadAhead::kNone, ReadAhead::kRouter, ReadAhead::kCoactivation, ReadAhead::kAuto}) {
    EXPECT_EQ(*parse_read_ahead(to_string(way)), way);
  }
  for (const WorkerSplit split : {WorkerSplit::kAuto, WorkerSplit::kExperts, WorkerSplit::kLayers}) {
    EXPECT_EQ(*parse_worker_split(to_string(split)), split);
  }
}

TEST(PlacementWords, OthersAreRefusedByName) {
  for (const Error& error : {parse_mode("warp").error(), parse_kv_type("warp").error(),
                             parse_read_ahead("warp").error(), parse_worker_split("warp").error()}) {
    EXPECT_EQ(error.code, ErrorCode::kUsage);
    EXPECT_THAT(error.message, HasSubstr("'warp'"));
  }
  EXPECT_FALSE(parse_kv_type(""));
}

TEST(PlacementWords, AModeIsWhatIsStreamed) {
  for (const bool dense : {false, true}) {
    for (const bool experts : {false, true}) {
      Placement placement;
      placement.dense.streamed = dense;
      placement.experts.streamed = experts;
      EXPECT_EQ(streams_dense(placement.mode()), dense);
      EXPECT_EQ(streams_experts(placement.mode()), experts);
    }
  }
}

}  // namespace
}  // namespace hypura
