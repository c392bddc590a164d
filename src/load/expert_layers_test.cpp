// Whole layers with experts on a worker: what llama.cpp makes of them is computed to the last bit, and nothing else is.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "load/layers_bench_for_test.h"

namespace hypura {
namespace {

constexpr const char* kMoe = "hypura-stories-moe.gguf";

class ExpertLayers : public testing::Test {
 protected:
  static void SetUpTestSuite() { bench_ = new LayersBench(96 * kMiB, kMoe); }
  static void TearDownTestSuite() { delete bench_; }
  void SetUp() override { ASSERT_TRUE(greet(*bench_)); }

  // Who has the first two layers computed.
  static bool greet(LayersBench& bench) {
    const std::vector<WarmExpert> wanted = {{0, 0}, {1, 0}};
    const bool greeted = bench.greet();
    bench.set(kWarmName, std::as_bytes(std::span(wanted)));
    return greeted;
  }

  static std::string reason(LayersBench& bench = *bench_) {
    return bench.get<std::array<char, kReasonBytes>>(kReasonName).data();
  }

  static void expect_equal(const ExpertKind& kind, LayersBench& bench = *bench_) {
    LayerGraph here = bench.here();
    here.build(kind);
    bench.compute_here(here.graph());
    LayerGraph there = bench.there();
    there.build(kind);
    for (int turn = 0; turn < 2; ++turn) {
      const LayersStatus status = bench.compute_there(there.graph());
      ASSERT_EQ(status.status, ReplyStatus::kDone) << reason(bench);
      EXPECT_EQ(here.contents(), there.contents());
    }
  }

  static ReplyStatus status_of(const std::function<void(LayerGraph&)>& change, const ExpertKind& kind = {}) {
    greet(*bench_);
    LayerGraph graph = bench_->there();
    graph.build(kind);
    change(graph);
    return bench_->compute_there(graph.graph()).status;
  }

  static void expect_refused(const std::function<void(LayerGraph&)>& change, const std::string& words,
                             const ExpertKind& kind = {}) {
    EXPECT_EQ(status_of(change, kind), ReplyStatus::kRefused) << words;
    EXPECT_NE(reason().find(words), std::string::npos) << reason() << "; not: " << words;
  }

  inline static LayersBench* bench_ = nullptr;
};

std::vector<ExpertKind> kinds() {
  std::vector<ExpertKind> all;
  for (const int64_t tokens : {1, 5, 70}) {
    all.emplace_back().tokens = tokens;
    all.back().layers = 2;
  }
  ExpertKind& grouped = all.emplace_back();
  grouped.groups = 4;
  grouped.softmax = false;
  grouped.biases = true;
  grouped.scale = 2.5F;
  ExpertKind& late = all.emplace_back();
  late.late = true;
  late.normed = false;
  late.biases = true;
  ExpertKind& one = all.emplace_back();
  one.used = 1;
  one.normed = false;
  return all;
}

TEST_F(ExpertLayers, AreWhatPlainGgmlComputes) {
  const std::vector<ExpertKind> all = kinds();
  for (size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    expect_equal(all[i]);
  }
}

// What is not in slots is read, whenever it is chosen.
TEST_F(ExpertLayers, AreTheSameWhereTheMemoryIsTooSmallForThem) {
  LayersBench bench(16 * kMiB, kMoe);
  ASSERT_GT(bench.worker().facts.peer_memory, 0U);
  ASSERT_TRUE(greet(bench));
  LayerGraph most = bench.there();
  ggml_backend_buffer_ptr large(ggml_backend_buft_alloc_buffer(bench.type(), bench.worker().facts.peer_memory / 2));
  ASSERT_NE(large, nullptr);
  for (const int64_t tokens : {1, 60}) {
    ExpertKind kind;
    kind.layers = 2;
    kind.tokens = tokens;
    expect_equal(kind, bench);
  }
}

TEST_F(ExpertLayers, AreNotReadAgainWhereTheMemoryHoldsThem) {
  ExpertKind kind;
  kind.layers = 2;
  kind.tokens = 70;
  LayerGraph graph = bench_->there();
  graph.build(kind);
  ASSERT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone) << reason();
  EXPECT_EQ(bench_->compute_there(graph.graph()).read_bytes, 0U);
}

// A worker computes rows of experts for the next client, with all of its slots.
TEST_F(ExpertLayers, GiveTheirMemoryBack) {
  LayersBench bench(16 * kMiB, kMoe);
  ASSERT_TRUE(greet(bench));
  expect_equal({}, bench);
  WorkerHello hello = bench.hello();
  hello.split = AskedSplit::kParts;
  ASSERT_TRUE(bench.greet(hello));
  std::vector<WarmExpert> wanted;
  for (uint16_t expert = 0; expert < 4; ++expert) {
    wanted.push_back({5, expert});
  }
  bench.set(kWarmName, std::as_bytes(std::span(wanted)));
  EXPECT_EQ(reason(bench), "");
  const auto here = [&] {
    std::array<std::byte, 8> map;
    bench.worker().weights->resident_map(5, map);
    return (map[0] & std::byte{15}) == std::byte{15};
  };
  for (int i = 0; i < 5000 && !here(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(here());
}

// As where the scheduler divides a graph: the choice is then among what the peer has set.
TEST_F(ExpertLayers, MayBeComputedInParts) {
  ExpertKind kind;
  kind.biases = true;
  LayerGraph whole = bench_->there();
  whole.build(kind);
  ASSERT_EQ(bench_->compute_there(whole.graph()).status, ReplyStatus::kDone) << reason();
  LayerGraph parted = bench_->there();
  parted.build(kind);
  const int count = ggml_graph_n_nodes(parted.graph());
  const ggml_context_ptr context(ggml_init({ggml_graph_overhead() * static_cast<size_t>(count), nullptr, true}));
  for (int i = 0; i < count; ++i) {
    ggml_cgraph* one = ggml_new_graph(context.get());
    ggml_graph_add_node(one, ggml_graph_node(parted.graph(), i));
    ASSERT_EQ(bench_->compute_there(one).status, ReplyStatus::kDone) << i << ": " << reason();
  }
  EXPECT_EQ(parted.contents(), whole.contents());
}

// Nothing can be said of the order of scores that are no numbers: they are chosen as if they were the least.
TEST_F(ExpertLayers, ScoresThatAreNoNumbersDoNoHarm) {
  for (const int64_t tokens : {1, 5}) {
    ExpertKind kind;
    kind.tokens = tokens;
    kind.groups = 4;
    LayerGraph graph = bench_->there();
    graph.build(kind);
    ggml_tensor* input = graph.inputs().front();
    const std::vector<float> values(static_cast<size_t>(ggml_nelements(input)),
                                    std::numeric_limits<float>::quiet_NaN());
    ggml_backend_tensor_set(input, values.data(), 0, ggml_nbytes(input));
    EXPECT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone) << reason();
  }
}

// Experts that the peer has set are looked at each time.
TEST_F(ExpertLayers, ExpertsThatThereAreNotAreNotChosen) {
  LayerGraph graph = bench_->there();
  graph.build(ExpertKind{});
  ASSERT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone);
  const ggml_tensor& product = graph.node(GGML_OP_MUL_MAT_ID);
  const ggml_context_ptr context(ggml_init({ggml_graph_overhead(), nullptr, true}));
  ggml_cgraph* one = ggml_new_graph(context.get());
  ggml_graph_add_node(one, const_cast<ggml_tensor*>(&product));
  const ggml_tensor* sorted = product.src[2]->view_src;
  for (const int32_t expert : {0, -1, 32, 1 << 30}) {
    std::vector<int32_t> ids(static_cast<size_t>(ggml_nelements(sorted)));
    ids[3] = expert;  // the last of the first row's choice
    ggml_backend_tensor_set(const_cast<ggml_tensor*>(sorted), ids.data(), 0, ggml_nbytes(sorted));
    EXPECT_EQ(bench_->compute_there(one).status, expert == 0 ? ReplyStatus::kDone : ReplyStatus::kRefused) << reason();
  }
}

TEST_F(ExpertLayers, NothingElseIsChosenOrComputed) {
  ASSERT_EQ(status_of([](LayerGraph&) {}), ReplyStatus::kDone) << reason();
  ExpertKind biased;
  biased.biases = true;
  ExpertKind two;
  two.layers = 2;
  ExpertKind many;
  many.tokens = 600;
  expect_refused([](LayerGraph& graph) { --graph.node(GGML_OP_ADD_ID).src[1]->ne[1]; }, "fewer rows", biased);
  expect_refused(
      [](LayerGraph& graph) { graph.node(GGML_OP_MUL_MAT_ID, 5).src[2] = graph.node(GGML_OP_MUL_MAT_ID).src[2]; },
      "another's choice", two);
  expect_refused([](LayerGraph&) {}, "600 rows", many);
  expect_refused(
      [](LayerGraph& graph) {  // into what was chosen
        ggml_tensor& writes = graph.node(GGML_OP_CLAMP);
        ggml_tensor& chosen = graph.node(GGML_OP_ARGSORT);
        writes = chosen;
        writes.op = GGML_OP_CPY;
        writes.op_params[0] = 0;
        writes.src[0] = writes.src[1] = writes.view_src = &chosen;
      },
      "writes to a router's choice");
  ggml_tensor matrices{};
  expect_refused(
      [&](LayerGraph& graph) {  // by what the peer has for experts
        matrices = *graph.node(GGML_OP_ADD_ID).src[1];
        matrices.ne[2] = std::exchange(matrices.ne[1], 1);
        matrices.nb[2] = matrices.nb[1];
        ggml_tensor& product = graph.node(GGML_OP_MUL_MAT_ID, 2);
        product.src[0] = &matrices;
        product.ne[0] = 1;
        product.nb[1] = sizeof(float);
        product.nb[2] = 4 * sizeof(float);
        product.nb[3] = 20 * sizeof(float);
      },
      "none of the model's", biased);
  for (const int32_t order : {-1, 2}) {
    expect_refused([&](LayerGraph& graph) { graph.node(GGML_OP_ARGSORT).op_params[0] = order; }, "(ARGSORT)");
  }
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_MUL_MAT_ID).op_params[1] = 1; }, "(MUL_MAT_ID)");
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_MUL_MAT_ID).src[2] = nullptr; }, "(MUL_MAT_ID)");
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_MUL_MAT_ID).src[2]->ne[0] = 33; }, "(VIEW)");
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_ARGSORT).type = GGML_TYPE_F32; }, "(ARGSORT)");
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_ARGSORT).data = nullptr; }, "(ARGSORT)");
  expect_refused([](LayerGraph& graph) { graph.node(GGML_OP_ADD_ID).src[1]->ne[0] -= 1; }, "(ADD_ID)", biased);
  EXPECT_EQ(status_of([](LayerGraph&) {}), ReplyStatus::kDone) << reason();
}

}  // namespace
}  // namespace hypura
