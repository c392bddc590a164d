// A link to a worker, over the loopback interface: what is sent and comes back, and all that a worker may do wrong.
// Nothing here depends on how fast anything is: what is waited for comes, or never does.
#include "remote/worker_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "remote/fake_worker_for_test.h"

namespace hypura {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr uint32_t kWidth = 3;
constexpr uint32_t kResult = 2;
constexpr uint32_t kExperts = 10;
constexpr auto kLong = std::chrono::hours(1);  // for what comes
constexpr milliseconds kShort{20};             // for what does not

const WorkerRoom kRoom = {2, kExperts, kWidth, kResult};

WorkerHello hello(uint64_t fingerprint = 7) {
  WorkerHello it;
  it.identity = worker_identity(fingerprint, false, "ggml", "kernels");
  return it;
}

FakeWorker::Manner manner(WorkerFault fault = WorkerFault::kNone, uint64_t fault_at = 0) {
  FakeWorker::Manner it;
  it.identity = hello().identity;
  it.layers = kRoom.layers;
  it.experts = kExperts;
  it.fault = fault;
  it.fault_at = fault_at;
  return it;
}

// Each row's result: its sum, and its expert.
void sum_up(const FakeWorker::Work& work, std::span<float> out) {
  for (size_t i = 0; i < work.pairs.size(); ++i) {
    float sum = 0;
    for (const float it : work.rows.subspan(size_t{work.pairs[i].token} * work.width, work.width)) {
      sum += it;
    }
    out[i * kResult] = sum;
    out[i * kResult + 1] = static_cast<float>(work.pairs[i].expert);
  }
}

WorkerBlock block(uint32_t layer, uint32_t most_pairs) {
  WorkerBlock made = {{layer, kExperts, kWidth, kResult}, std::vector<RpcTensor>(2), {2}};
  made.tensors[0].id = 1;
  made.tensors[0].set_shape(sizeof(float), {kWidth, 1, most_pairs, 1});
  made.tensors[0].set_name(kAskName);
  made.tensors[1].id = 2;
  made.tensors[1].set_shape(sizeof(float), {kResult, 1, most_pairs, 1});
  made.tensors[1].set_name(kReplyName);
  return made;
}

WorkerLinkOptions options(std::chrono::milliseconds connect = kLong) {
  return {connect, milliseconds(1), milliseconds(1)};
}

std::unique_ptr<WorkerLink> link_to(const WorkerAddress& address, const WorkerLinkOptions& how = options()) {
  auto link = WorkerLink::start(address, hello(), kRoom, how);
  EXPECT_TRUE(link) << link.error().message;
  (*link)->wait_until_tried();
  return std::move(*link);
}

// Asks for experts 1 and 4, of two rows.
Status post(WorkerSession& session, uint32_t layer) {
  const AskedPair pairs[] = {{1, 0}, {4, 0}, {4, 1}};
  const float rows[] = {1, 2, 3, 10, 20, 30};
  const AskSpace space = session.add_ask({layer, kExperts, kWidth, kResult}, {3, 2});
  EXPECT_EQ(space.pairs.size(), sizeof(pairs));
  EXPECT_EQ(space.rows.size(), sizeof(rows));
  std::memcpy(space.pairs.data(), pairs, sizeof(pairs));
  std::memcpy(space.rows.data(), rows, sizeof(rows));
  return session.post();
}

Result<WorkerReply> ask(WorkerSession& session, uint32_t layer, std::chrono::milliseconds patience = kLong) {
  return post(session, layer).and_then([&] { return session.receive(PeerSocket::Clock::now() + patience); });
}

Status introduce(WorkerSession& session, uint32_t layer) {
  return session.introduce(block(layer, session.most_pairs())).and_then([&]() -> Status {
    const auto reply = session.receive(PeerSocket::Clock::now() + kLong);
    if (!reply) {
      return tl::make_unexpected(reply.error());
    }
    EXPECT_EQ(reply->head.status, ReplyStatus::kDone);
    EXPECT_EQ(reply->map.size(), map_bytes(kExperts));
    EXPECT_TRUE(reply->rows.empty());
    return {};
  });
}

std::vector<float> floats(std::span<const std::byte> bytes) {
  std::vector<float> all(bytes.size() / sizeof(float));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

void expect_good_reply(const Result<WorkerReply>& reply) {
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->head.status, ReplyStatus::kDone);
  EXPECT_EQ(floats(reply->rows), (std::vector<float>{6, 1, 6, 4, 60, 4}));
  EXPECT_EQ(reply->map[0], std::byte{0b10010});  // experts 1 and 4
}

TEST(WorkerLink, AsksAndIsAnswered) {
  const FakeWorker worker(manner(), sum_up);
  const auto link = link_to(worker.address());
  ASSERT_EQ(link->session(), nullptr);
  ASSERT_TRUE(link->take_new());
  EXPECT_FALSE(link->take_new());
  WorkerSession& session = *link->session();
  EXPECT_EQ(session.verdict().slots, 8U);
  for (const uint32_t layer : {1U, 0U}) {
    ASSERT_TRUE(introduce(session, layer));
    expect_good_reply(ask(session, layer));
    expect_good_reply(ask(session, layer));
  }
  EXPECT_EQ(worker.asks(), 4U);
  EXPECT_EQ(session.sent_bytes(), worker.received_bytes());
  EXPECT_EQ(session.received_bytes(), worker.sent_bytes());
}

// One write and one round trip, of as many bytes as there is to say.
TEST(WorkerLink, AnAskTakesSoManyBytes) {
  const FakeWorker worker(manner(), sum_up);
  const auto link = link_to(worker.address());
  ASSERT_TRUE(link->take_new());
  WorkerSession& session = *link->session();
  ASSERT_TRUE(introduce(session, 0));
  const uint64_t sent = session.sent_bytes();
  const uint64_t received = session.received_bytes();
  expect_good_reply(ask(session, 0));
  EXPECT_EQ(session.sent_bytes() - sent, WorkerSession::kAskHeads + ask_bytes(session.most_pairs(), 2, kWidth));
  EXPECT_EQ(session.received_bytes() - received, kRpcAnswerHead + reply_bytes(kExperts, 3, kResult));
}

// The rows go out once, and replies come in the order of the asks, waited for or not.
TEST(WorkerLink, SeveralAsksOfTheSameRowsAreOneMessage) {
  const FakeWorker worker(manner(), sum_up);
  const auto link = link_to(worker.address());
  ASSERT_TRUE(link->take_new());
  WorkerSession& session = *link->session();
  ASSERT_TRUE(introduce(session, 0));
  const WorkerRows layer = {0, kExperts, kWidth, kResult};
  const float rows[] = {1, 2, 3, 10, 20, 30};
  const AskedPair first[] = {{1, 1}};
  const AskedPair second[] = {{7, 0}, {7, 1}};
  const WarmExpert next[] = {{0, 7}};
  const uint64_t before = session.sent_bytes();
  session.add_ahead(next);
  const AskSpace space = session.add_ask(layer, {1, 2, true});
  std::memcpy(space.pairs.data(), first, sizeof(first));
  std::memcpy(space.rows.data(), rows, sizeof(rows));
  const std::span<std::byte> pairs = session.add_ask_of_same_rows(layer, {2, 2, true});
  ASSERT_EQ(pairs.size(), sizeof(second));
  std::memcpy(pairs.data(), second, sizeof(second));
  ASSERT_TRUE(session.post());
  while (true) {
    const auto arrived = session.arrived();
    ASSERT_TRUE(arrived) << arrived.error().message;
    if (*arrived) {
      break;
    }
  }
  const auto one = session.receive(PeerSocket::Clock::now());
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(floats(one->rows), (std::vector<float>{60, 1}));
  const auto two = session.receive(PeerSocket::Clock::now() + kLong);
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(floats(two->rows), (std::vector<float>{6, 7, 60, 7}));
  EXPECT_EQ(worker.prompt_asks(), 2U);
  EXPECT_EQ(worker.ahead(), 1U);
  const uint64_t heads =
      7 * kRpcRequestHead + 3 * sizeof(RpcSetTensor) + 2 * sizeof(RpcGraphRecompute) + 2 * sizeof(RpcGetTensor);
  EXPECT_EQ(session.sent_bytes() - before,
            heads + sizeof(next) + ask_bytes(session.most_pairs(), 2, kWidth) + ask_rows_offset(2));
  const auto three = ask(session, 0);
  ASSERT_TRUE(three) << three.error().message;
  EXPECT_EQ(floats(three->rows), (std::vector<float>{6, 1, 6, 4, 60, 4}));
  EXPECT_EQ(three->map[0], std::byte{0b10010010});  // experts 1, 4 and 7
}

TEST(WorkerLink, SeveralAreFoundAndLeft) {
  FakeWorker::Manner refuses = manner();
  refuses.refusal = "not today";
  const FakeWorker good(manner(), sum_up);
  const FakeWorker bad(refuses, sum_up);
  const std::vector<WorkerAddress> both = {good.address(), bad.address()};
  const auto found = find_workers(both, hello(), kRoom);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).name, to_string(good.address()));
  ASSERT_TRUE(found->at(0).verdict);
  EXPECT_EQ(found->at(0).verdict->slots, 8U);
  const WorkerWay& way = found->at(0).way;
  EXPECT_GT(way.round_trip, 0);
  EXPECT_GE(way.slow_round_trip, way.round_trip);
  EXPECT_GT(way.send_bytes_per_second, 0);
  EXPECT_GT(way.receive_bytes_per_second, 0);
  EXPECT_FALSE(found->at(1).verdict);
  EXPECT_EQ(found->at(1).why, "not today");
}

TEST(WorkerLink, AsksForNoMorePairsThanTheWorkerTakes) {
  FakeWorker::Manner few = manner();
  few.most_pairs = 5;
  const FakeWorker worker(few, sum_up);
  const auto link = link_to(worker.address());
  ASSERT_TRUE(link->take_new());
  EXPECT_EQ(link->session()->most_pairs(), 5U);
  ASSERT_TRUE(introduce(*link->session(), 0));
  expect_good_reply(ask(*link->session(), 0));
}

TEST(WorkerLink, NobodyThereIsNoError) {
  FakeWorker worker(manner());
  const WorkerAddress address = worker.address();
  worker.stop();
  const auto link = link_to(address);
  EXPECT_FALSE(link->take_new());
  EXPECT_EQ(link->session(), nullptr);
}

TEST(WorkerLink, ListenerWithoutAWordIsGivenUp) {
  FakeWorker::Manner silent = manner();
  silent.greets = false;
  const FakeWorker worker(silent);
  EXPECT_FALSE(link_to(worker.address(), options(kShort))->take_new());
}

// Though the worker would be waited for much longer.
TEST(WorkerLink, EndsWhileItConnects) {
  FakeWorker::Manner silent = manner();
  silent.greets = false;
  const FakeWorker worker(silent);
  EXPECT_TRUE(WorkerLink::start(worker.address(), hello(), kRoom, options()));
}

TEST(WorkerSession, SaysWhyAWorkerMustNotCompute) {
  FakeWorker::Manner refuses = manner();
  refuses.refusal = "I would rather\nnot";
  FakeWorker::Manner other_model = manner();
  other_model.identity.fingerprint = 8;
  FakeWorker::Manner small = manner();
  small.layers = 1;
  const std::pair<FakeWorker::Manner, std::string> cases[] = {
      {refuses, "I would rather?not"}, {other_model, "another model"}, {small, "1 layers"}};
  for (const auto& [how, says] : cases) {
    const FakeWorker worker(how);
    const auto session =
        WorkerSession::open(worker.address(), hello(), kRoom, PeerSocket::Clock::now() + kLong, nullptr);
    ASSERT_FALSE(session);
    EXPECT_EQ(session.error().code, ErrorCode::kUsage);
    EXPECT_THAT(session.error().message, HasSubstr(says));
  }
}

struct Wrong {
  WorkerFault fault;
  std::string says;
};

// The second ask fails, and whoever asks is told; the next session is a good one.
TEST(WorkerLink, ComesBackAfterWhatAWorkerDoesWrong) {
  const Wrong cases[] = {{WorkerFault::kSilent, "in time"},
                         {WorkerFault::kCloses, "closed"},
                         {WorkerFault::kGarbage, "bytes where"},
                         {WorkerFault::kWrongLength, "bytes where"}};
  for (const auto& [fault, says] : cases) {
    const FakeWorker worker(manner(fault, 2), sum_up);
    const auto link = link_to(worker.address());
    ASSERT_TRUE(link->take_new());
    ASSERT_TRUE(introduce(*link->session(), 0));
    expect_good_reply(ask(*link->session(), 0));
    const auto failed = ask(*link->session(), 0, fault == WorkerFault::kSilent ? kShort : milliseconds(kLong));
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, HasSubstr(says));
    link->lose(failed.error().message);
    EXPECT_EQ(link->session(), nullptr);
    while (!link->take_new()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    ASSERT_TRUE(introduce(*link->session(), 0));
    expect_good_reply(ask(*link->session(), 0));
    EXPECT_EQ(worker.connections(), 2U);
  }
}

TEST(WorkerSession, TellsWhyAWorkerRefused) {
  const FakeWorker worker(manner(WorkerFault::kRefuses, 1), sum_up);
  const auto link = link_to(worker.address());
  ASSERT_TRUE(link->take_new());
  ASSERT_TRUE(introduce(*link->session(), 0));
  const auto reply = ask(*link->session(), 0);
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->head.status, ReplyStatus::kRefused);
  EXPECT_EQ(link->session()->reason(PeerSocket::Clock::now() + kLong), "it is told to refuse");
  expect_good_reply(ask(*link->session(), 0));
}

TEST(WorkerSession, AWorkerThatEndsIsNoticed) {
  FakeWorker worker(manner(), sum_up);
  const auto link = link_to(worker.address());
  ASSERT_TRUE(link->take_new());
  ASSERT_TRUE(introduce(*link->session(), 0));
  worker.stop();
  EXPECT_FALSE(ask(*link->session(), 0));
}

// What is more than the system takes at once goes out while the answer is waited for.
TEST(WorkerSession, SendsMoreThanTheSystemTakesAtOnce) {
  constexpr uint32_t kWide = 8000;  // 512 rows: 16 MB
  const WorkerRoom room = {1, kExperts, kWide, kResult};
  const FakeWorker worker(manner(), [](const FakeWorker::Work& work, std::span<float> out) {
    for (size_t i = 0; i < work.pairs.size(); ++i) {
      out[i * kResult] = work.rows[size_t{work.pairs[i].token} * work.width + work.width - 1];
    }
  });
  auto session = WorkerSession::open(worker.address(), hello(), room, PeerSocket::Clock::now() + kLong, nullptr);
  ASSERT_TRUE(session) << session.error().message;
  const uint32_t most = session->most_pairs();
  WorkerBlock wide = block(0, most);
  wide.rows.width = kWide;
  wide.tensors[0].set_shape(sizeof(float), {kWide, 1, most, 1});
  ASSERT_TRUE(session->introduce(wide));
  ASSERT_TRUE(session->receive(PeerSocket::Clock::now() + kLong));
  const AskSpace space = session->add_ask(wide.rows, {most, most});
  for (uint32_t i = 0; i < most; ++i) {
    const AskedPair pair = {3, i};
    const auto last = static_cast<float>(i);
    std::memcpy(space.pairs.data() + i * sizeof(pair), &pair, sizeof(pair));
    std::memcpy(space.rows.data() + (size_t{i + 1} * kWide - 1) * sizeof(float), &last, sizeof(last));
  }
  ASSERT_TRUE(session->post());
  const auto reply = session->receive(PeerSocket::Clock::now() + kLong);
  ASSERT_TRUE(reply) << reply.error().message;
  const std::vector<float> rows = floats(reply->rows);
  for (uint32_t i = 0; i < most; ++i) {
    EXPECT_EQ(rows[i * kResult], static_cast<float>(i));
  }
}

// However long a worker was away, it is asked again soon after it is back.
TEST(RetryPauses, GrowToSomeSeconds) {
  const WorkerLinkOptions usual;
  RetryPauses pauses(usual);
  EXPECT_EQ(pauses.next(), usual.first_retry);
  EXPECT_EQ(pauses.next(), 2 * usual.first_retry);
  for (int attempt = 0; attempt < 100; ++attempt) {
    EXPECT_LE(pauses.next(), std::chrono::seconds(2));
  }
  pauses.begin_anew();
  EXPECT_EQ(pauses.next(), usual.first_retry);
}

}  // namespace
}  // namespace hypura
