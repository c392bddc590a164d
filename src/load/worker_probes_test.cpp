// What a peer may send that no client of ours does: each is refused, or ends its connection, and the worker serves on.

#include <gtest/gtest.h>

#include <array>

#include "load/worker_serving_for_test.h"

namespace hypura {
namespace {

// All elements of one of a tensor's arrays.
template <class Number, size_t N>
void fill(Number (&numbers)[N], Number value) {
  std::fill(std::begin(numbers), std::end(numbers), value);
}

TEST_F(WorkerServer, OnlyBlocksAreComputed) {
  const std::vector<std::function<void(PeerBlock&)>> changes = {
      // Functions that a parameter points to.
      [](PeerBlock& block) {
        block.at(8).op = GGML_OP_MAP_CUSTOM1;
        fill(block.at(8).op_params, 0x41414141);
      },
      [](PeerBlock& block) {
        block.at(8).op = GGML_OP_CUSTOM;
        fill(block.at(8).op_params, 0x41414141);
      },
      [](PeerBlock& block) { block.at(8).op = GGML_OP_COUNT + 7; },
      [](PeerBlock& block) { block.at(8).op = 0xffffffff; },
      [](PeerBlock& block) { block.at(8).op = GGML_OP_SOFT_MAX; },
      [](PeerBlock& block) { block.at(8).op_params[0] = GGML_GLU_OP_COUNT; },
      [](PeerBlock& block) { block.at(8).op_params[0] = -1; },
      [](PeerBlock& block) {
        block.at(6).op = GGML_OP_MUL_MAT;  // with all experts at once
        block.at(6).src[2] = 0;
      },
      // Sources that are not there, are others, or are too many.
      [](PeerBlock& block) { block.at(8).src[0] = 0; },
      [](PeerBlock& block) { block.at(6).src[0] = 0; },
      [](PeerBlock& block) { block.at(6).src[1] = 0; },
      [](PeerBlock& block) { block.at(6).src[2] = 0; },
      [](PeerBlock& block) { block.at(6).src[0] = 99; },
      [](PeerBlock& block) { block.at(6).src[0] = 6; },
      [](PeerBlock& block) { block.at(6).src[1] = 9; },
      [](PeerBlock& block) { block.at(6).src[1] = 1; },
      [](PeerBlock& block) { block.at(9).src[9] = 8; },
      [](PeerBlock& block) { block.at(6).view_src = 4; },
      [](PeerBlock& block) { block.nodes[0] = 0; },
      [](PeerBlock& block) { block.nodes[1] = 77; },
      [](PeerBlock& block) { block.nodes.clear(); },
      [](PeerBlock& block) { block.nodes.assign(1000, 6); },
      [](PeerBlock& block) {
        block.nodes = {6, 7, 8};
      },
      // Weights, shapes and types that are not the model's.
      [](PeerBlock& block) { block.at(1).set_name("token_embd.weight"); },
      [](PeerBlock& block) { block.at(1).set_name("blk.1.ffn_gate_exps.weight"); },
      [](PeerBlock& block) { fill(block.at(1).name, 'x'); },
      [](PeerBlock& block) { block.at(1).type = GGML_TYPE_F32; },
      [](PeerBlock& block) { block.at(1).type = 4; },  // one that ggml has no more
      [](PeerBlock& block) { block.at(1).type = 0xffff; },
      [](PeerBlock& block) { block.at(1).ne[2] = 1; },
      [](PeerBlock& block) { block.at(6).ne[0] = 1U << 31U; },
      [](PeerBlock& block) { fill(block.at(8).ne, 0xffffffffU); },
      [](PeerBlock& block) { block.at(6).ne[2] = 0; },
      [](PeerBlock& block) { block.at(6).nb[1] = 0; },
      [](PeerBlock& block) { block.at(6).type = GGML_TYPE_F16; },
      [](PeerBlock& block) { block.at(6).flags = 0; },
      [](PeerBlock& block) { block.at(PeerBlock::kIds).type = GGML_TYPE_F32; },
      [](PeerBlock& block) { block.at(PeerBlock::kIds).ne[1] = 1; },
      // Memory that is none, and addresses and sizes that wrap.
      [](PeerBlock& block) { block.at(PeerBlock::kAsk).buffer = 0; },
      [](PeerBlock& block) { block.at(PeerBlock::kAsk).buffer += 8; },
      [](PeerBlock& block) { block.at(PeerBlock::kAsk).data = 0xfffffffffffffff0; },
      [](PeerBlock& block) { block.at(PeerBlock::kAsk).data -= 64; },
      [](PeerBlock& block) { block.at(PeerBlock::kAsk).data += kBuffer - 64; },
      [](PeerBlock& block) { fill(block.at(PeerBlock::kAsk).nb, 0xffffffffU); },
      [](PeerBlock& block) { block.at(9).data += kBuffer - block.reply_at - block.width * sizeof(float) * kPairs; },
      [](PeerBlock& block) { block.at(9).buffer = block.at(9).data = 0; },
      [](PeerBlock& block) { block.at(8).data = 0x1000; },
      [](PeerBlock& block) {
        block.at(8).buffer = block.at(9).buffer;
        block.at(8).data = block.at(9).data;
      },
      [](PeerBlock& block) { block.at(9).set_name(kAskName); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(status_of(changes[i]), ReplyStatus::kRefused) << "change " << i;
  }
  expect_alive();
}

TEST_F(WorkerServer, AsksAreChecked) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const PeerBlock block(serving_->model(), 0, kPairs, peer);
  const std::vector<float> rows = random_rows(block.width, 1);
  bool first = true;
  const auto status = [&](std::vector<std::byte> asked) {
    const auto answer = ask(peer, block, asked, std::exchange(first, false));
    return answer ? answer->head.status : ReplyStatus::kFailed;
  };
  EXPECT_EQ(status(ask_of(block, 1, {{32, 0}}, 1, rows)), ReplyStatus::kRefused);
  EXPECT_EQ(status(ask_of(block, 1, {{-1, 0}}, 1, rows)), ReplyStatus::kRefused);
  EXPECT_EQ(status(ask_of(block, 1, {{1, 1}}, 1, rows)), ReplyStatus::kRefused);
  EXPECT_EQ(status(ask_of(block, 1, {{1, 0xffffffff}}, 1, rows)), ReplyStatus::kRefused);
  std::vector<std::byte> many = ask_of(block, 1, {{1, 0}}, 1, rows);
  for (const auto& [pairs, tokens] : {std::pair(kPairs + 1, 1U), {1U, kPairs + 1}, {0xffffffffU, 1U}, {1U, 0U}}) {
    const Ask head = {1, pairs, tokens, 0};
    std::memcpy(many.data(), &head, sizeof(head));
    peer.set(kAskName, 0, many);
    peer.requests().add(RpcCommand::kGraphRecompute, RpcGraphRecompute{0});
    const auto bytes = peer.get(kReplyName, block.reply_at, sizeof(Reply));
    ASSERT_TRUE(bytes);
    Reply reply;
    std::memcpy(&reply, bytes->data(), sizeof(reply));
    EXPECT_EQ(reply.status, ReplyStatus::kRefused) << pairs << " " << tokens;
  }
  EXPECT_EQ(status(ask_of(block, 1, {{1, 0}}, 1, rows)), ReplyStatus::kDone);
}

TEST_F(WorkerServer, WhoIsRefusedOftenIsLeft) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const std::byte byte{};
  for (uint32_t i = 0; i < WorkerDevice::kMostRefusals; ++i) {
    peer.set("a.b", 0, {&byte, 1});
  }
  peer.send();
  EXPECT_TRUE(peer.is_closed());
  expect_alive();
}

TEST_F(WorkerServer, FreedMemoryIsNotUsed) {
  {
    WorkerPeer peer(serving_->port());
    greet(peer);
    const PeerBlock block(serving_->model(), 0, kPairs, peer);
    const auto asked = ask_of(block, 1, {{1, 0}}, 1, random_rows(block.width, 1));
    ASSERT_TRUE(ask(peer, block, asked, true));
    peer.requests().add(RpcCommand::kFreeBuffer, RpcFreeBuffer{peer.buffer()});
    peer.requests().add(RpcCommand::kGraphRecompute, RpcGraphRecompute{0});
    peer.requests().add(RpcCommand::kGraphRecompute, RpcGraphRecompute{0});
    peer.send();
    EXPECT_TRUE(peer.is_closed());
  }
  {
    WorkerPeer peer(serving_->port());
    greet(peer);
    const PeerBlock block(serving_->model(), 0, kPairs, peer);
    peer.requests().add(RpcCommand::kFreeBuffer, RpcFreeBuffer{peer.buffer()});
    peer.requests().add_graph(0, block.nodes, block.tensors);
    peer.send();
    EXPECT_TRUE(peer.is_closed());
  }
  expect_alive();
}

TEST_F(WorkerServer, SizesThatWrapReachNothing) {
  const std::byte byte{0x55};
  const std::vector<std::function<void(RpcSetTensor&, uint64_t base)>> changes = {
      [](RpcSetTensor& set, uint64_t base) {
        set.tensor.data = base - 4096;
        set.offset = 4096;
      },
      [](RpcSetTensor& set, uint64_t base) {
        set.tensor.data = base + kBuffer - 1;
        set.offset = uint64_t{0} - kBuffer;
      },
      [](RpcSetTensor& set, uint64_t /*base*/) { set.offset = kBuffer; },
      [](RpcSetTensor& set, uint64_t /*base*/) { fill(set.tensor.nb, 0xffffffffU); },
      [](RpcSetTensor& set, uint64_t /*base*/) {
        fill(set.tensor.ne, 0xffffffffU);
        fill(set.tensor.nb, 0xffffffffU);
      },
      [](RpcSetTensor& set, uint64_t /*base*/) { set.tensor.buffer = 0x4141414141414141; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    WorkerPeer peer(serving_->port());
    greet(peer);
    RpcSetTensor set;
    set.tensor = peer.raw(kAskName, 0, 1);
    changes[i](set, peer.base());
    std::vector<std::byte> bytes(kRpcRequestHead + sizeof(set) + 1);
    const uint64_t size = sizeof(set) + 1;
    bytes[0] = static_cast<std::byte>(RpcCommand::kSetTensor);
    std::memcpy(bytes.data() + 1, &size, sizeof(size));
    std::memcpy(bytes.data() + kRpcRequestHead, &set, sizeof(set));
    bytes.back() = byte;
    peer.send_bytes(bytes);
    peer.requests().add(RpcCommand::kGetTensor, RpcGetTensor{set.tensor, set.offset, uint64_t{1} << 40});
    peer.send();
    EXPECT_TRUE(peer.is_closed()) << "change " << i;
  }
  expect_alive();
}

TEST_F(WorkerServer, BuffersAreFew) {
  WorkerPeer peer(serving_->port());
  ASSERT_TRUE(peer.connected());
  EXPECT_FALSE(peer.allocate(kMostBufferBytes + 1));
  EXPECT_FALSE(peer.allocate(UINT64_MAX));
  EXPECT_TRUE(peer.allocate(kMostBufferBytes / 2));
  EXPECT_TRUE(peer.allocate(kMostBufferBytes / 2));
  EXPECT_FALSE(peer.allocate(4096));
}

TEST_F(WorkerServer, MessagesThatAreNoneEndTheConnection) {
  const auto sends = [&](std::vector<std::byte> bytes, uint8_t command, uint64_t size) {
    bytes.insert(bytes.begin(), kRpcRequestHead, std::byte{});
    bytes[0] = std::byte{command};
    std::memcpy(bytes.data() + 1, &size, sizeof(size));
    WorkerPeer peer(serving_->port());
    greet(peer);
    peer.send_bytes(bytes);
    return peer.is_closed();
  };
  EXPECT_TRUE(sends({}, 200, 0));                                           // no command
  EXPECT_TRUE(sends({}, 14, 24));                                           // a second HELLO
  EXPECT_TRUE(sends({}, 6, uint64_t{1} << 60));                             // SET_TENSOR of an EiB
  EXPECT_TRUE(sends({}, 10, RpcListener::kMostGraph + 1));                  // a graph too long
  EXPECT_TRUE(sends({}, 10, UINT64_MAX));                                   // no size at all
  EXPECT_TRUE(sends(std::vector<std::byte>(4), 10, 4));                     // a graph too short
  EXPECT_TRUE(sends(std::vector<std::byte>(64, std::byte{0xff}), 10, 64));  // of a device there is not
  EXPECT_TRUE(sends({std::byte{}, std::byte{}, std::byte{}, std::byte{}, std::byte{0xff}, std::byte{0xff},
                     std::byte{0xff}, std::byte{0xff}, std::byte{}, std::byte{}, std::byte{}, std::byte{}},
                    10, 12));                           // with more nodes than bytes
  EXPECT_TRUE(sends(std::vector<std::byte>(4), 8, 4));  // GET_TENSOR too short
  expect_alive();
}

// The server would call itself as often.
TEST_F(WorkerServer, DeepGraphsEndTheConnection) {
  for (const auto& [depth, ends] : {std::pair{60U, false}, {200U, true}}) {
    for (const bool views : {false, true}) {
      WorkerPeer peer(serving_->port());
      greet(peer);
      std::vector<RpcTensor> chain;
      for (uint64_t id = 1; id <= depth; ++id) {
        RpcTensor& tensor = chain.emplace_back(peer_tensor(id, GGML_TYPE_F32, {4, 1, 1}, ""));
        (views ? tensor.view_src : tensor.src[9]) = id < depth ? id + 1 : 0;
      }
      const std::vector<uint64_t> nodes = {1};
      peer.requests().add_graph(0, nodes, chain);
      EXPECT_EQ(!peer.get(kReasonName, 0, kReasonBytes), ends) << depth;
    }
  }
  expect_alive();
}

TEST_F(WorkerServer, AnswersAreNotLongerThanMessages) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  EXPECT_FALSE(peer.get(kReasonName, 0, RpcListener::kMostMessage + 1));
  expect_alive();
}

// And who asks for rows of experts afterwards has its slots again.
TEST_F(WorkerServer, LayersThatThereAreNotAreNotKept) {
  for (const uint16_t layer : {uint16_t{0}, uint16_t{99}}) {
    WorkerPeer peer(serving_->port());
    ASSERT_TRUE(peer.connected() && peer.allocate(kBuffer));
    WorkerHello hello = serving_->hello();
    hello.split = AskedSplit::kLayers;
    hello.threads = serving_->worker().facts.threads;
    const auto verdict = peer.greet(hello);
    ASSERT_TRUE(verdict);
    ASSERT_EQ(verdict->accepted, 1U) << verdict->sentence.data();
    const WarmExpert wanted = {layer, 0};
    peer.set(kWarmName, 0, std::as_bytes(std::span(&wanted, 1)));
    const auto reason = peer.get(kReasonName, 0, kReasonBytes);
    ASSERT_TRUE(reason);
    const std::string text(reinterpret_cast<const char*>(reason->data()));
    EXPECT_EQ(text, layer == 0 ? "" : "layer 99 is wanted, which there is not");
  }
  expect_alive();
}

TEST_F(WorkerServer, MemoryIsNotChangedButByItsNames) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  peer.requests().add(RpcCommand::kBufferClear, RpcBufferClear{peer.buffer(), 1});
  peer.requests().add(RpcCommand::kCopyTensor, RpcCopyTensor{peer.raw("a", 0, 64), peer.raw("b", 64, 64)});
  const auto copied = peer.answer<RpcCopyTensorAnswer>();
  ASSERT_TRUE(copied);
  EXPECT_EQ(copied->copied, 0);
  const auto bytes = peer.get(kReplyName, 0, 64);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(*bytes, std::vector<std::byte>(64));
}

TEST_F(WorkerServer, ConnectionsWithoutEndAreServedOneAfterTheOther) {
  for (int i = 0; i < 40; ++i) {
    const WorkerPeer peer(serving_->port());
    EXPECT_TRUE(peer.connected());
  }
  expect_alive();
}

TEST(SilentPeers, AreLeft) {
  ServingWorker serving(16 * kMiB, std::chrono::milliseconds(50));
  WorkerPeer peer(serving.port());
  EXPECT_TRUE(peer.is_closed());
}

}  // namespace
}  // namespace hypura
