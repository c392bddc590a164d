// A worker over its socket: rows that are those of ggml's own products.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "backend/cpu_kernels.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "history/model_fingerprint.h"
#include "load/worker_serving_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

constexpr std::byte kDeviceCount{15};  // a command that no client of ours uses

// ggml's own products of a layer's experts, whole in memory.
class PlainBlock {
 public:
  PlainBlock(const Model& model, int layer, const std::vector<AskedPair>& pairs, uint32_t tokens,
             const std::vector<float>& rows) {
    backend_.reset(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
    context_.reset(ggml_init({64 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true}));
    ggml_context* ctx = context_.get();
    const auto weight = [&](const char* part) {
      const TensorInfo& info = *model.find(fmt::format("blk.{}.ffn_{}_exps.weight", layer, part));
      infos_.push_back(&info);
      weights_.push_back(
          ggml_new_tensor_3d(ctx, static_cast<ggml_type>(info.type), info.shape[0], info.shape[1], info.shape[2]));
      return weights_.back();
    };
    ggml_tensor* gate = weight("gate");
    ggml_tensor* up = weight("up");
    ggml_tensor* down = weight("down");
    const auto count = static_cast<int64_t>(pairs.size());
    ggml_tensor* ids = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, 1, count);
    ggml_tensor* input = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, up->ne[0], 1, count);
    ggml_tensor* gated =
        ggml_swiglu_split(ctx, ggml_mul_mat_id(ctx, gate, input, ids), ggml_mul_mat_id(ctx, up, input, ids));
    ggml_tensor* result = ggml_mul_mat_id(ctx, down, gated, ids);
    ggml_cgraph* graph = ggml_new_graph(ctx);
    ggml_build_forward_expand(graph, result);
    const ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(ctx, backend_.get()));
    for (size_t i = 0; i < weights_.size(); ++i) {
      std::ifstream file(model.files.front().path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(infos_[i]->extent.offset));
      std::vector<char> bytes(infos_[i]->extent.length);
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      ggml_backend_tensor_set(weights_[i], bytes.data(), 0, bytes.size());
    }
    const auto width = static_cast<size_t>(up->ne[0]);
    for (size_t i = 0; i < pairs.size(); ++i) {
      ggml_backend_tensor_set(ids, &pairs[i].expert, i * sizeof(int32_t), sizeof(int32_t));
      ggml_backend_tensor_set(input, rows.data() + pairs[i].token * width, i * width * sizeof(float),
                              width * sizeof(float));
    }
    EXPECT_LE(tokens, pairs.size());
    EXPECT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    rows_.resize(static_cast<size_t>(ggml_nelements(result)));
    ggml_backend_tensor_get(result, rows_.data(), 0, rows_.size() * sizeof(float));
  }

  const std::vector<float>& rows() const { return rows_; }

 private:
  ggml_backend_ptr backend_;
  ggml_context_ptr context_;
  std::vector<const TensorInfo*> infos_;
  std::vector<ggml_tensor*> weights_;
  std::vector<float> rows_;
};

TEST_F(WorkerServer, RowsAreThoseOfTheWholeMatrices) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  for (const int layer : {0, 3, 5, 0}) {
    PeerBlock block(serving_->model(), layer, kPairs, peer);
    ASSERT_LE(block.bytes(), kBuffer);
    bool first = true;
    for (const auto& [tokens, pairs] : {std::pair<uint32_t, std::vector<AskedPair>>{1, {{3, 0}, {30, 0}, {7, 0}}},
                                        {3, {{3, 0}, {3, 1}, {0, 1}, {31, 2}, {12, 0}, {3, 2}}},
                                        {1, {{3, 0}}}}) {
      const std::vector<float> rows = random_rows(block.width, tokens);
      const auto answer = ask(peer, block, ask_of(block, 7, pairs, tokens, rows), std::exchange(first, false));
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->head.number, 7U);
      ASSERT_EQ(answer->head.status, ReplyStatus::kDone);
      EXPECT_EQ(answer->head.pairs, pairs.size());
      EXPECT_LE(answer->head.hits, answer->head.experts);
      EXPECT_EQ(answer->head.read_bytes > 0, answer->head.hits < answer->head.experts);
      EXPECT_EQ(answer->head.cached, std::ranges::count(answer->map, true));
      EXPECT_EQ(answer->rows, PlainBlock(serving_->model(), layer, pairs, tokens, rows).rows()) << layer;
    }
  }
}

TEST_F(WorkerServer, TheMapSaysWhatIsHere) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const PeerBlock block(serving_->model(), 2, kPairs, peer);
  const auto first = ask(peer, block, ask_of(block, 1, {{9, 0}}, 1, random_rows(block.width, 1)), true);
  ASSERT_TRUE(first);
  const auto again = ask(peer, block, ask_of(block, 2, {}, 0, {}), false);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->head.status, ReplyStatus::kDone);
  EXPECT_EQ(again->head.experts, 0U);
  EXPECT_EQ(again->map, first->map);
  EXPECT_TRUE(first->map[9]);
}

TEST_F(WorkerServer, TellsWhatItIs) {
  WorkerPeer peer(serving_->port());
  ASSERT_TRUE(peer.connected() && peer.allocate(kBuffer));
  const auto verdict = peer.greet(serving_->hello());
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->accepted, 1U);
  EXPECT_EQ(verdict->identity.fingerprint, model_fingerprint(*open_model(kDemoModel)));
  EXPECT_EQ(std::string(verdict->identity.cpu.data()), cpu_kernels());
  EXPECT_EQ(verdict->layers, 6U);
  EXPECT_EQ(verdict->experts, 32U);
  EXPECT_GT(verdict->slots, 8U);
  EXPECT_LT(verdict->slots, 192U);
  EXPECT_GE(verdict->most_pairs, 64U);  // as many as a quarter of its memory is enough for
  EXPECT_LE(verdict->most_pairs, kMostPairs);
  EXPECT_LE(verdict->slots * verdict->slot_bytes, verdict->budget);
  std::array<std::byte, kRpcRequestHead> device_count{};  // a request of nothing
  device_count[0] = kDeviceCount;
  peer.send_bytes(device_count);
  EXPECT_EQ(peer.answer<uint32_t>(), 6U);
}

TEST_F(WorkerServer, AnotherModelIsRefusedWithASentence) {
  WorkerPeer peer(serving_->port());
  ASSERT_TRUE(peer.connected() && peer.allocate(kBuffer));
  WorkerHello hello = serving_->hello();
  hello.identity.fingerprint ^= 1;
  const auto verdict = peer.greet(hello);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->accepted, 0U);
  EXPECT_THAT(verdict->sentence.data(), HasSubstr("another model"));
  const PeerBlock block(serving_->model(), 0, kPairs, peer);
  const auto answer = ask(peer, block, ask_of(block, 5, {{1, 0}}, 1, random_rows(block.width, 1)), true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head.status, ReplyStatus::kRefused);
  EXPECT_EQ(answer->head.number, 0U);
  const auto reason = peer.get(kReasonName, 0, kReasonBytes);
  ASSERT_TRUE(reason);
  EXPECT_THAT(reinterpret_cast<const char*>(reason->data()), HasSubstr("before a hello was accepted"));
}

TEST_F(WorkerServer, ExpertsCanBeWantedAhead) {
  auto connection = std::make_unique<WorkerPeer>(serving_->port());
  WorkerPeer& peer = *connection;
  greet(peer);
  const std::vector<WarmExpert> wanted = {{4, 17}, {4, 18}};
  peer.set(kWarmName, 0, std::as_bytes(std::span(wanted)));
  const PeerBlock block(serving_->model(), 4, kPairs, peer);
  bool first = true;
  bool there = false;
  while (!there) {  // reads end when they end; asking for the map alone leaves them to
    const auto answer = ask(peer, block, ask_of(block, 1, {}, 0, {}), std::exchange(first, false));
    ASSERT_TRUE(answer);
    there = answer->map[17] && answer->map[18];
  }
  const std::vector<WarmExpert> unknown = {{4, 32}};
  peer.set(kWarmName, 0, std::as_bytes(std::span(unknown)));
  ASSERT_TRUE(peer.send());
  connection.reset();  // one at a time
  expect_alive();
}

TEST_F(WorkerServer, RowsOfAPromptStayForTheNextAsk) {
  WorkerPeer peer(serving_->port());
  greet(peer);
  const PeerBlock block(serving_->model(), 1, kPairs, peer);
  const std::vector<float> rows = random_rows(block.width, 2);
  const auto ask_again = [&](const std::vector<AskedPair>& pairs, uint32_t number) {
    std::vector<std::byte> bytes = ask_of(block, number, pairs, 2, rows);
    bytes.resize(sizeof(Ask) + pairs.size() * sizeof(AskedPair));
    const uint32_t prompt = 1;
    std::memcpy(bytes.data() + offsetof(Ask, prompt), &prompt, sizeof(prompt));
    return ask(peer, block, bytes, false);
  };
  ASSERT_TRUE(ask(peer, block, ask_of(block, 1, {{9, 0}, {9, 1}}, 2, rows), true));
  const std::vector<WarmExpert> next = {{1, 20}, {1, 21}};
  peer.set(kAheadName, 0, std::as_bytes(std::span(next)));
  for (const std::vector<AskedPair>& pairs : {std::vector<AskedPair>{{7, 1}, {3, 0}}, {{20, 0}, {20, 1}, {21, 1}}}) {
    const auto answer = ask_again(pairs, 2);
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->head.status, ReplyStatus::kDone);
    EXPECT_EQ(answer->rows, PlainBlock(serving_->model(), 1, pairs, 2, rows).rows());
  }
}

TEST_F(WorkerServer, WhatIsReadAheadIsOfOneLayer) {
  for (const std::vector<WarmExpert>& wrong :
       {std::vector<WarmExpert>{{0, 1}, {1, 1}}, {{0, 1}, {0, 1}}, {{0, 32}}, {{77, 1}}}) {
    WorkerPeer peer(serving_->port());
    greet(peer);
    peer.set(kAheadName, 0, std::as_bytes(std::span(wrong)));
    const auto reason = peer.get(kReasonName, 0, kReasonBytes);
    ASSERT_TRUE(reason);
    EXPECT_THAT(reinterpret_cast<const char*>(reason->data()), testing::AnyOf(HasSubstr("ahead"), HasSubstr("wanted")));
  }
}

TEST(OpenWorkerTest, TooLittleMemorySaysHowMuchItTakes) {
  WorkerRequest request;
  request.model = kDemoModel;
  request.memory = 256 * kKiB;
  const auto worker = open_worker(request);
  ASSERT_FALSE(worker);
  EXPECT_EQ(worker.error().code, ErrorCode::kBudget);
  EXPECT_THAT(worker.error().message, HasSubstr("it takes"));
}

TEST(OpenWorkerTest, EnoughMemoryHoldsAllExperts) {
  WorkerRequest request;
  request.model = kDemoModel;
  request.memory = 128 * kMiB;
  const auto worker = open_worker(request);
  ASSERT_TRUE(worker) << worker.error().message;
  EXPECT_EQ((*worker)->facts.slots, 192U);
  EXPECT_LE((*worker)->budget->reserved(Tier::kRam), (*worker)->budget->limit(Tier::kRam));
}

}  // namespace
}  // namespace hypura
