#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "residency/replay/trace_for_test.h"
#include "residency/routing_recorder.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

class RoutingTraceFile : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("hypura-trace-") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = folder_ / "a.trace";
    std::mt19937 engine(1);
    trace_ = random_trace(engine, 3, 12, 2, 30);
    trace_.slots = 20;
    trace_.spare = 2;
    trace_.earlier = 5;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write_bytes(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  fs::path folder_;
  fs::path path_;
  RoutingTrace trace_;
};

TEST_F(RoutingTraceFile, ComesBackAsItWas) {
  ASSERT_TRUE(write_routing_trace(trace_, path_));
  const auto back = read_routing_trace(path_);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, trace_);
  trace_.keep_latest(10);
  ASSERT_TRUE(write_routing_trace(trace_, path_));
  EXPECT_EQ(read_routing_trace(path_).value(), trace_);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "something was left lying beside the file";
}

TEST_F(RoutingTraceFile, EveryCutAndEveryFlippedByteIsFound) {
  trace_.keep_latest(6);
  ASSERT_TRUE(write_routing_trace(trace_, path_));
  const std::string whole = bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    write_bytes(whole.substr(0, length));
    const auto read = read_routing_trace(path_);
    ASSERT_FALSE(read) << length;
    ASSERT_THAT(read.error().message, testing::HasSubstr("a.trace"));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x40);
    write_bytes(changed);
    ASSERT_FALSE(read_routing_trace(path_)) << at;
  }
  write_bytes(whole + "x");
  EXPECT_FALSE(read_routing_trace(path_));
}

TEST_F(RoutingTraceFile, HugeCountsAreRefusedBeforeAnythingIsAllocated) {
  ASSERT_TRUE(write_routing_trace(trace_, path_));
  const std::string whole = bytes();
  for (size_t at = 12; at < 60; at += 4) {
    std::string changed = whole;
    changed.replace(at, 4, "\xFF\xFF\xFF\x7F");
    write_bytes(changed);
    const auto read = read_routing_trace(path_);
    ASSERT_FALSE(read) << at;
    EXPECT_EQ(read.error().code, ErrorCode::kIo);
  }
}

TEST_F(RoutingTraceFile, WhatIsNoTraceIsSaidToBeNone) {
  EXPECT_EQ(read_routing_trace(folder_ / "missing").error().code, ErrorCode::kIo);
  EXPECT_EQ(read_routing_trace(folder_).error().code, ErrorCode::kIo);
  write_bytes("GGUF and so on, long enough to be a header of sixty bytes or more, surely");
  EXPECT_EQ(read_routing_trace(path_).error().code, ErrorCode::kUsage);
  write_bytes("");
  EXPECT_EQ(read_routing_trace(path_).error().code, ErrorCode::kUsage);
}

TEST_F(RoutingTraceFile, IsWrittenOverFilesOnly) {
  EXPECT_EQ(write_routing_trace(trace_, "/dev/null").error().code, ErrorCode::kUsage);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(write_routing_trace(trace_, folder_).error().code, ErrorCode::kUsage);
  EXPECT_EQ(write_routing_trace(trace_, folder_ / "no/such/folder").error().code, ErrorCode::kIo);
  trace_.chosen.pop_back();
  EXPECT_EQ(write_routing_trace(trace_, path_).error().code, ErrorCode::kInternal);
  EXPECT_FALSE(fs::exists(path_));
}

TEST(RoutingTrace, TheLatestPassesAreKeptWhole) {
  std::mt19937 engine(1);
  RoutingTrace trace = random_trace(engine, 2, 8, 2, 3);
  trace.passes = {{2, false, 0}, {3, false, 0}, {1, true, 7}};
  trace.chosen.assign(6 * 4, 1);
  trace.chosen.back() = 3;
  RoutingTrace four = trace;
  four.keep_latest(4);
  EXPECT_EQ(four.tokens(), 4U);
  EXPECT_EQ(four.earlier, 2U);
  EXPECT_EQ(four.chosen.size(), 16U);
  trace.keep_latest(0);
  EXPECT_EQ(trace.passes, (std::vector<RoutingPass>{{1, true, 7}}));
  EXPECT_EQ(trace.chosen, (std::vector<uint16_t>{1, 1, 1, 3}));
  EXPECT_EQ(trace.decode_tokens(), 1U);
  EXPECT_EQ(trace.earlier, 5U);
}

RoutingTrace shape() {
  RoutingTrace trace;
  trace.layers = 2;
  trace.experts = 8;
  trace.used = 2;
  return trace;
}

constexpr uint16_t kNoExpert = RoutingTrace::kNone;
const std::vector<uint16_t> kPair = {1, 2};
const std::vector<uint16_t> kThreePairs = {1, 2, 3, 4, 5, 6};

TEST(RoutingRecorder, RecordsPassesLayerByLayer) {
  RoutingRecorder recorder(shape(), 100);
  recorder.begin_pass(false);
  recorder.note(0, 2, kThreePairs, 1);
  recorder.note(1, 2, kPair, 2);  // the last layer has the last token only
  recorder.begin_pass(true);
  recorder.note(0, 2, kPair, 0);
  recorder.note(0, 2, kPair, 2);  // the layer's second run of nodes
  recorder.note(1, 2, kPair, 1);
  const RoutingTrace trace = recorder.trace();
  EXPECT_EQ(trace.passes, (std::vector<RoutingPass>{{3, false, 3}, {1, true, 1}}));
  EXPECT_EQ(trace.chosen,
            (std::vector<uint16_t>{1, 2, kNoExpert, kNoExpert, 3, 4, kNoExpert, kNoExpert, 5, 6, 1, 2, 1, 2, 1, 2}));
}

TEST(RoutingRecorder, ALayerThatComesAgainBeginsAnotherPass) {
  RoutingRecorder recorder(shape(), 100);
  recorder.begin_pass(true);
  recorder.note(1, 2, kPair, 0);
  recorder.note(0, 2, kPair, 0);
  EXPECT_EQ(recorder.trace().passes.size(), 2U);
  recorder.note(1, 2, kThreePairs, 0);  // more rows than the pass has tokens
  EXPECT_EQ(recorder.trace().passes.size(), 3U);
  EXPECT_EQ(recorder.trace().decode_tokens(), 5U);
}

TEST(RoutingRecorder, CountsTheUsesOfTheLatestTokens) {
  RoutingRecorder recorder(shape(), 100);
  EXPECT_EQ(recorder.uses(0, 64), std::vector<uint16_t>(8));
  recorder.begin_pass(false);
  recorder.note(0, 2, kThreePairs, 0);
  recorder.note(1, 2, kPair, 0);
  recorder.begin_pass(true);
  recorder.note(0, 2, kPair, 0);
  EXPECT_EQ(recorder.uses(0, 64), (std::vector<uint16_t>{0, 2, 2, 1, 1, 1, 1, 0}));
  EXPECT_EQ(recorder.uses(0, 2), (std::vector<uint16_t>{0, 1, 1, 0, 0, 1, 1, 0}));
  EXPECT_EQ(recorder.uses(1, 64), (std::vector<uint16_t>{0, 1, 1, 0, 0, 0, 0, 0}));
}

TEST(RoutingRecorder, KeepsTheLatest) {
  RoutingRecorder recorder(shape(), 4);
  for (int pass = 0; pass < 10; ++pass) {
    recorder.begin_pass(true);
    recorder.note(0, 2, kPair, 0);
  }
  EXPECT_EQ(recorder.trace().tokens(), 4U);
  EXPECT_EQ(recorder.trace().earlier, 6U);
  recorder.begin_pass(false);
  recorder.note(0, 2, kThreePairs, 0);
  EXPECT_EQ(recorder.trace().passes.size(), 2U);
  EXPECT_EQ(recorder.trace().earlier, 9U);
}

}  // namespace
}  // namespace hypura
