#include "remote/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

WorkerHello hello_of(const WorkerIdentity& identity) {
  WorkerHello hello;
  hello.identity = identity;
  return hello;
}

TEST(WorkerProtocol, LikeMachinesComputeTogether) {
  const WorkerIdentity one = worker_identity(7, false, "0.5.0 abc", "AVX2=1");
  EXPECT_THAT(hello_refusal(one, hello_of(worker_identity(7, false, "0.5.0 abc", "AVX2=1"))), IsEmpty());
}

TEST(WorkerProtocol, WhatDiffersIsNamed) {
  const WorkerIdentity worker = worker_identity(7, true, "0.5.0 abc", "AVX2=1");
  const auto refusal = [&](const WorkerIdentity& peer) { return hello_refusal(worker, hello_of(peer)); };
  EXPECT_THAT(refusal(worker_identity(8, true, "0.5.0 abc", "AVX2=1")), HasSubstr("another model"));
  EXPECT_THAT(refusal(worker_identity(7, true, "0.6.0 def", "AVX2=1")), HasSubstr("ggml 0.5.0 abc"));
  EXPECT_THAT(refusal(worker_identity(7, false, "0.5.0 abc", "AVX2=1")), HasSubstr("hypura repack"));
  EXPECT_THAT(refusal(worker_identity(7, true, "0.5.0 abc", "AVX512=1")), HasSubstr("other kernels (AVX2=1)"));
  WorkerIdentity later = worker;
  later.protocol = 9;
  EXPECT_THAT(refusal(later), HasSubstr("asks speaks 9"));
}

TEST(WorkerProtocol, OtherKernelsMayBeWanted) {
  WorkerHello hello = hello_of(worker_identity(7, false, "0.5.0", "AVX512=1"));
  hello.any_cpu = 1;
  EXPECT_THAT(hello_refusal(worker_identity(7, false, "0.5.0", "AVX2=1"), hello), IsEmpty());
}

TEST(WorkerProtocol, TextsOfPeersNeedNoEndAndCannotMoveTheCursor) {
  const WorkerIdentity worker = worker_identity(7, false, "0.5.0", "AVX2=1");
  WorkerHello hello = hello_of(worker);
  hello.identity.llama.fill('\x1b');
  const std::string refusal = hello_refusal(worker, hello);
  EXPECT_THAT(refusal, HasSubstr(std::string(hello.identity.llama.size(), '?')));
  EXPECT_THAT(refusal, Not(HasSubstr("\x1b")));
}

TEST(WorkerProtocol, LongTextsAreCut) {
  const WorkerIdentity identity = worker_identity(7, false, std::string(1000, 'a'), std::string(1000, 'b'));
  EXPECT_EQ(identity.llama.back(), '\0');
  EXPECT_EQ(identity.cpu.back(), '\0');
}

TEST(WorkerProtocol, RepliesHaveAMapOfAllExperts) {
  EXPECT_EQ(map_bytes(1), 8U);
  EXPECT_EQ(map_bytes(64), 8U);
  EXPECT_EQ(map_bytes(65), 16U);
  EXPECT_EQ(reply_bytes(65, 2, 3), 64U + 16U + 24U);
  EXPECT_EQ(ask_bytes(4, 2, 3), 16U + 32U + 24U);
}

}  // namespace
}  // namespace hypura
