// A worker of a dense model, over its socket: what it computes of feed-forward parts, what it keeps, what it refuses.

#include <gtest/gtest.h>

#include <map>

#include "load/worker_serving_for_test.h"

namespace hypura {
namespace {

const auto kDenseModel = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";

// As WorkerServer, of a dense model.
class DenseWorker : public WorkerServer {
 protected:
  static void SetUpTestSuite() { serving_ = new ServingWorker(32 * kMiB, std::chrono::seconds(60), kDenseModel); }

  static std::vector<AskedPair> in_order(uint32_t rows) {
    std::vector<AskedPair> pairs;
    for (uint32_t i = 0; i < rows; ++i) {
      pairs.push_back({0, i});
    }
    return pairs;
  }
};

TEST_F(DenseWorker, ComputesPartsAndKeepsThem) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  std::map<int, std::vector<float>> first;
  for (int turn = 0; turn < 2; ++turn) {
    for (const int layer : {0, 1, 2}) {
      const PeerBlock block(serving_->model(), layer, kPairs, peer);
      const auto answer = ask(peer, block, ask_of(block, 3, in_order(5), 5, random_rows(block.width, 5)), true);
      ASSERT_TRUE(answer);
      ASSERT_EQ(answer->head.status, ReplyStatus::kDone);
      EXPECT_EQ(answer->head.pairs, 5U);
      EXPECT_EQ(answer->head.experts, 1U);
      EXPECT_EQ(answer->head.hits, 0U) << "nobody has said that it is to stay";
      EXPECT_EQ(first.try_emplace(layer, answer->rows).first->second, answer->rows);
    }
  }
  const std::vector<WarmExpert> wanted = {{1, 0}, {0, 0}};
  peer.set(kWarmName, 0, std::as_bytes(std::span(wanted)));
  for (int turn = 0; turn < 2; ++turn) {
    for (const int layer : {0, 1, 2}) {
      const PeerBlock block(serving_->model(), layer, kPairs, peer);
      const auto answer = ask(peer, block, ask_of(block, 4, in_order(5), 5, random_rows(block.width, 5)), true);
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->rows, first[layer]);
      EXPECT_EQ(answer->head.hits, turn > 0 && layer < 2 ? 1U : 0U) << layer;
      EXPECT_EQ(answer->map[0], layer < 2) << layer;
    }
  }
}

TEST_F(DenseWorker, OnlyPartsAreComputed) {
  const std::vector<std::function<void(PeerBlock&)>> changes = {
      [](PeerBlock& block) {
        block.at(6).op = GGML_OP_MUL_MAT_ID;
        block.at(6).src[2] = PeerBlock::kIds;
      },
      [](PeerBlock& block) { block.at(6).src[2] = PeerBlock::kIds; },
      [](PeerBlock& block) { block.at(8).op = GGML_OP_ADD_ID; },
      [](PeerBlock& block) { block.at(1).set_name("blk.1.ffn_gate.weight"); },
      [](PeerBlock& block) { block.at(1).set_name("blk.0.attn_q.weight"); },
      [](PeerBlock& block) { block.at(1).set_name("token_embd.weight"); },
      [](PeerBlock& block) { block.at(1).ne[1] *= 2; },
      [](PeerBlock& block) { block.at(1).ne[2] = 2; },
      [](PeerBlock& block) { block.at(9).data += 1 << 30; },
      [](PeerBlock& block) {  // an ask as wide as what goes into the last matrix
        RpcTensor& ask = block.at(PeerBlock::kAsk);
        const RpcTensor& wide = block.at(8);
        std::copy(std::begin(wide.ne), std::end(wide.ne), std::begin(ask.ne));
        std::copy(std::begin(wide.nb), std::end(wide.nb), std::begin(ask.nb));
        block.at(9).src[1] = PeerBlock::kAsk;
        block.nodes = {9};
      },
  };
  expect_alive();
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(status_of(changes[i]), ReplyStatus::kRefused) << "change " << i;
  }
}

TEST_F(DenseWorker, AsksAreForAllRowsInTheirOrder) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const PeerBlock block(serving_->model(), 0, kPairs, peer);
  bool first = true;
  const auto status_of_pairs = [&](const std::vector<AskedPair>& pairs) {
    const auto rows = static_cast<uint32_t>(pairs.size());
    const auto answer = ask(peer, block, ask_of(block, 9, pairs, rows, random_rows(block.width, rows)), first);
    first = false;
    return answer ? answer->head.status : ReplyStatus::kRefused;
  };
  EXPECT_EQ(status_of_pairs({{0, 0}, {0, 1}}), ReplyStatus::kDone);
  EXPECT_EQ(status_of_pairs({{0, 1}, {0, 0}}), ReplyStatus::kRefused);
  EXPECT_EQ(status_of_pairs({{0, 0}, {0, 0}}), ReplyStatus::kRefused);
  EXPECT_EQ(status_of_pairs({{1, 0}}), ReplyStatus::kRefused);
  EXPECT_EQ(status_of_pairs(in_order(kPairs)), ReplyStatus::kDone);
}

// Over its socket: the first node of a layer, of which the server knows what our device gives it.
TEST_F(DenseWorker, ComputesWholeLayers) {
  WorkerPeer peer(serving_->port());
  ASSERT_TRUE(peer.connected() && peer.allocate(kMiB));
  WorkerHello hello = serving_->hello();
  hello.split = AskedSplit::kLayers;
  hello.threads = 1;
  const auto verdict = peer.greet(hello);
  ASSERT_TRUE(verdict);
  ASSERT_EQ(verdict->accepted, 1U) << verdict->sentence.data();
  EXPECT_GT(verdict->peer_memory, kMiB);
  const TensorInfo& info = *serving_->model().find("blk.0.attn_norm.weight");
  const int64_t width = info.shape[0];
  RpcTensor input = peer_tensor(1, GGML_TYPE_F32, {width, 3, 1}, "input");
  RpcTensor weight = peer_tensor(2, GGML_TYPE_F32, {width, 1, 1}, info.name);
  RpcTensor normed = peer_tensor(3, GGML_TYPE_F32, {width, 3, 1}, "normed");
  RpcTensor scaled = peer_tensor(4, GGML_TYPE_F32, {width, 3, 1}, "scaled");
  const auto bytes = 3 * static_cast<uint64_t>(width) * sizeof(float);
  for (RpcTensor* it : {&input, &normed, &scaled}) {
    it->buffer = peer.buffer();
    it->data = peer.base() + (it->id - 1) * bytes;
    it->flags = GGML_TENSOR_FLAG_COMPUTE;
  }
  normed.op = GGML_OP_RMS_NORM;
  normed.src[0] = 1;
  scaled.op = GGML_OP_MUL;
  scaled.src[0] = 3;
  scaled.src[1] = 2;
  const std::vector<float> rows = random_rows(static_cast<uint64_t>(width), 3);
  std::vector<std::byte> first;
  for (int turn = 0; turn < 3; ++turn) {
    peer.set("input", 0, std::as_bytes(std::span(rows)));
    if (turn == 0) {
      const std::vector<uint64_t> nodes = {3, 4};
      peer.requests().add_graph(1, nodes, std::vector<RpcTensor>{input, weight, normed, scaled});
    } else {
      peer.requests().add(RpcCommand::kGraphRecompute, RpcGraphRecompute{1});
    }
    const auto got = peer.get(kLayersStatusName, 0, sizeof(LayersStatus));
    ASSERT_TRUE(got);
    LayersStatus status;
    std::memcpy(&status, got->data(), sizeof(status));
    EXPECT_EQ(status.status, ReplyStatus::kDone);
    EXPECT_EQ(status.graphs, static_cast<uint32_t>(turn + 1));
    const auto result = peer.get("scaled", 3 * bytes, bytes);
    ASSERT_TRUE(result);
    EXPECT_NE(*result, std::vector<std::byte>(bytes));
    first = turn == 0 ? *result : first;
    EXPECT_EQ(*result, first);
    peer.requests().add(RpcCommand::kBufferClear, RpcBufferClear{peer.buffer(), 0});
  }
  peer.set("here", 0, std::as_bytes(std::span(rows)));
  peer.requests().add(RpcCommand::kCopyTensor,
                      RpcCopyTensor{peer.raw("here", 0, bytes), peer.raw("there", bytes, bytes)});
  ASSERT_TRUE(peer.answer<RpcCopyTensorAnswer>());
  const auto copy = peer.get("there", bytes, bytes);
  ASSERT_TRUE(copy);
  EXPECT_EQ(std::memcmp(copy->data(), rows.data(), bytes), 0);
}

TEST_F(DenseWorker, LayersThatThereAreNotAreNotWanted) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const std::vector<WarmExpert> none = {{999, 0}};
  const std::vector<WarmExpert> second = {{0, 1}};
  peer.set(kWarmName, 0, std::as_bytes(std::span(none)));
  peer.set(kWarmName, 0, std::as_bytes(std::span(second)));
  const auto reason = peer.get(kReasonName, 0, kReasonBytes);
  ASSERT_TRUE(reason);
  EXPECT_NE(std::to_integer<char>(reason->front()), '\0');
}

}  // namespace
}  // namespace hypura
