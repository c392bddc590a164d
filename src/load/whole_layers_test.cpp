// Whole layers on a worker: what llama.cpp makes of layers is computed to the last bit, and nothing else is.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "load/layers_bench_for_test.h"

namespace hypura {
namespace {

class WholeLayers : public testing::Test {
 protected:
  static void SetUpTestSuite() { bench_ = new LayersBench(); }
  static void TearDownTestSuite() { delete bench_; }
  void SetUp() override { ASSERT_TRUE(bench_->greet()); }

  static std::string reason() {
    const auto text = bench_->get<std::array<char, kReasonBytes>>(kReasonName);
    return text.data();
  }

  static void expect_equal(const std::function<void(LayerGraph&)>& build) {
    LayerGraph here = bench_->here();
    build(here);
    bench_->compute_here(here.graph());
    LayerGraph there = bench_->there();
    build(there);
    const LayersStatus status = bench_->compute_there(there.graph());
    ASSERT_EQ(status.status, ReplyStatus::kDone) << reason();
    EXPECT_EQ(here.contents(), there.contents());
  }

  // What a graph with flash attention, biases and chosen outputs, changed so, is answered with.
  static ReplyStatus status_of(const std::function<void(LayerGraph&)>& change, LayerKind kind = changed_kind()) {
    bench_->greet();
    LayerGraph graph = bench_->there();
    graph.build(kind);
    change(graph);
    return bench_->compute_there(graph.graph()).status;
  }
  static LayerKind changed_kind() {
    LayerKind kind;
    kind.biases = true;
    kind.outputs = 2;
    kind.factors = true;
    kind.layers = 1;
    return kind;
  }

  inline static LayersBench* bench_ = nullptr;
};

TEST_F(WholeLayers, AreWhatPlainGgmlComputes) {
  const std::vector<std::function<void(LayerKind&)>> kinds = {
      [](LayerKind&) {},
      [](LayerKind& it) { it.flash = false; },
      [](LayerKind& it) { it.tokens = 1; },
      [](LayerKind& it) {
        it.tokens = 70;
        it.outputs = 1;
      },
      [](LayerKind& it) { it.outputs = 0; },
      [](LayerKind& it) {
        it.biases = it.head_norms = it.soft_cap = it.sinks = it.factors = true;
        it.neox = false;
      },
      [](LayerKind& it) {
        it.flash = false;
        it.tokens = 3;
        it.biases = it.soft_cap = it.sinks = it.float_mask = it.layer_norm = it.parallel = true;
      },
      [](LayerKind& it) { it.cache = GGML_TYPE_Q8_0; },
      [](LayerKind& it) { it.cache = GGML_TYPE_IQ4_NL; },
      [](LayerKind& it) {
        it.cache = GGML_TYPE_F32;
        it.post_norms = it.fused_gate = true;
      },
      [](LayerKind& it) { it.cache = GGML_TYPE_BF16; },
  };
  for (size_t i = 0; i < kinds.size(); ++i) {
    SCOPED_TRACE(i);
    LayerKind kind;
    kinds[i](kind);
    expect_equal([&](LayerGraph& graph) { graph.build(kind); });
  }
}

TEST_F(WholeLayers, KeysAreTurned) {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0}) {
    SCOPED_TRACE(ggml_type_name(type));
    expect_equal([&](LayerGraph& graph) { graph.build_shift(type); });
  }
}

TEST_F(WholeLayers, AreComputedAgainOfWhatTheirMemoryHas) {
  LayerGraph graph = bench_->there();
  graph.build(changed_kind());
  EXPECT_EQ(bench_->compute_there(graph.graph()).graphs, 1U);
  const auto first = graph.contents();
  const LayersStatus again = bench_->compute_there(graph.graph());
  EXPECT_EQ(again.status, ReplyStatus::kDone);
  EXPECT_EQ(again.graphs, 2U);
  EXPECT_EQ(graph.contents(), first);
  std::vector<float> zeros(static_cast<size_t>(ggml_nelements(graph.inputs().front())));
  ggml_backend_tensor_set(graph.inputs().front(), zeros.data(), 0, zeros.size() * sizeof(float));
  EXPECT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone);
  EXPECT_NE(graph.contents().back(), first.back());
}

// As the scheduler divides a graph whose nodes are not all computed there: the rest is given a part, whose sources were
// computed before.
TEST_F(WholeLayers, MayBeComputedInParts) {
  LayerGraph whole = bench_->there();
  whole.build(changed_kind());
  ASSERT_EQ(bench_->compute_there(whole.graph()).status, ReplyStatus::kDone);
  const auto wanted = whole.contents();
  LayerGraph parted = bench_->there();
  parted.build(changed_kind());
  const int count = ggml_graph_n_nodes(parted.graph());
  const ggml_context_ptr context(ggml_init({ggml_graph_overhead() * static_cast<size_t>(count), nullptr, true}));
  for (int i = 0; i < count; ++i) {
    ggml_cgraph* one = ggml_new_graph(context.get());
    ggml_graph_add_node(one, ggml_graph_node(parted.graph(), i));
    ASSERT_EQ(bench_->compute_there(one).status, ReplyStatus::kDone) << i << ": " << reason();
  }
  EXPECT_EQ(parted.contents(), wanted);
}

// The numbers of rows are looked at each time.
TEST_F(WholeLayers, RowsThatThereAreNotAreNotChosen) {
  LayerGraph graph = bench_->there();
  graph.build(changed_kind());
  ASSERT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone);
  const auto set_first = [](ggml_tensor* tensor, int64_t value) {
    ggml_backend_tensor_set(tensor, &value, 0, ggml_type_size(tensor->type));
  };
  for (const ggml_op op : {GGML_OP_SET_ROWS, GGML_OP_GET_ROWS}) {
    ggml_tensor* numbers = graph.node(op).src[1];
    for (const int64_t value : {int64_t{-1}, LayerGraph::kCells, int64_t{1} << 30}) {
      set_first(numbers, value);
      EXPECT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kRefused) << value;
    }
    set_first(numbers, 0);
    EXPECT_EQ(bench_->compute_there(graph.graph()).status, ReplyStatus::kDone);
  }
}

TEST_F(WholeLayers, MemoryThatIsFreedIsNotComputedWith) {
  LayerGraph kept = bench_->there();
  kept.build(changed_kind());
  ASSERT_EQ(bench_->compute_there(kept.graph()).status, ReplyStatus::kDone);
  {
    LayerGraph gone = bench_->there();
    gone.build(changed_kind());
    kept.inputs().front()->data = gone.inputs().front()->data;
    kept.inputs().front()->buffer = gone.inputs().front()->buffer;
  }
  EXPECT_EQ(bench_->compute_there(kept.graph()).status, ReplyStatus::kRefused);
}

TEST_F(WholeLayers, NothingElseIsComputed) {
  using Change = std::function<void(LayerGraph&)>;
  const auto with = [](ggml_op op, const std::function<void(ggml_tensor&)>& change) {
    return Change([op, change](LayerGraph& graph) { change(graph.node(op)); });
  };
  const auto number = [&](ggml_op op, int at, int32_t value) {
    return with(op, [=](ggml_tensor& it) { it.op_params[at] = value; });
  };
  const auto becomes = [&](ggml_op op, ggml_op other) {
    return with(op, [=](ggml_tensor& it) {
      it.op = other;
      std::fill(std::begin(it.op_params), std::end(it.op_params), 0x41414141);
    });
  };
  const auto nan = [] {
    int32_t bits = 0;
    const float value = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }();
  const std::vector<Change> changes = {
      // Functions that a parameter points to, and what no layer has.
      becomes(GGML_OP_GLU, GGML_OP_MAP_CUSTOM1),
      becomes(GGML_OP_GLU, GGML_OP_MAP_CUSTOM2),
      becomes(GGML_OP_GLU, GGML_OP_CUSTOM),
      becomes(GGML_OP_RMS_NORM, GGML_OP_RMS_NORM_BACK),
      becomes(GGML_OP_ADD, GGML_OP_ACC),
      becomes(GGML_OP_ADD, GGML_OP_SET),
      becomes(GGML_OP_ADD, GGML_OP_OPT_STEP_ADAMW),
      becomes(GGML_OP_RMS_NORM, GGML_OP_SSM_CONV),
      becomes(GGML_OP_ROPE, GGML_OP_ROPE_BACK),
      becomes(GGML_OP_VIEW, GGML_OP_NONE),
      with(GGML_OP_GLU,
           [](ggml_tensor& it) {
             const uint32_t none = GGML_OP_COUNT + 7;
             std::memcpy(&it.op, &none, sizeof(none));
           }),
      // Parameters that kernels assert, or write and read elsewhere by.
      number(GGML_OP_GLU, 0, GGML_GLU_OP_COUNT),
      number(GGML_OP_GLU, 0, -1),
      number(GGML_OP_RMS_NORM, 0, nan),
      number(GGML_OP_RMS_NORM, 0, INT32_MIN + 1),
      number(GGML_OP_ROPE, 1, LayerGraph::kHead + 2),
      number(GGML_OP_ROPE, 1, 3),
      number(GGML_OP_ROPE, 1, -64),
      number(GGML_OP_ROPE, 2, GGML_ROPE_TYPE_MROPE),
      number(GGML_OP_ROPE, 2, GGML_ROPE_TYPE_VISION),
      number(GGML_OP_ROPE, 2, 99),
      number(GGML_OP_ROPE, 15, 2),
      number(GGML_OP_ROPE, 15, INT32_MAX),
      number(GGML_OP_ROPE, 0, 1),
      number(GGML_OP_FLASH_ATTN_EXT, 3, 20),
      number(GGML_OP_FLASH_ATTN_EXT, 4, -1),
      number(GGML_OP_MUL_MAT, 1, GGML_HINT_SRC0_IS_HADAMARD),
      number(GGML_OP_MUL_MAT, 1, 77),
      number(GGML_OP_VIEW, 0, 1 << 30),
      number(GGML_OP_VIEW, 1, 1 << 30),
      number(GGML_OP_PERMUTE, 0, 7),
      number(GGML_OP_PERMUTE, 0, -1),
      number(GGML_OP_PERMUTE, 0, 1),
      number(GGML_OP_ADD, 0, 1),
      with(GGML_OP_ROPE, [](ggml_tensor& it) { std::fill(std::begin(it.op_params), std::end(it.op_params), -1); }),
      // Shapes, types and layouts that are not what is computed.
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.ne[0] = int64_t{1} << 31; }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { std::fill(std::begin(it.ne), std::end(it.ne), 0xffffffff); }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.ne[1] += 1; }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.type = GGML_TYPE_F16; }),
      with(GGML_OP_RMS_NORM, [](ggml_tensor& it) { it.type = GGML_TYPE_Q8_0; }),
      with(GGML_OP_RMS_NORM, [](ggml_tensor& it) { it.nb[1] = 0; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.nb[2] = 0xffffffff; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.nb[1] += 1; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.ne[1] *= 1000; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.view_offs = 64; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.view_offs = SIZE_MAX; }),
      with(GGML_OP_RESHAPE, [](ggml_tensor& it) { it.ne[0] *= 2; }),
      [](LayerGraph& graph) {  // memory that is shorter than its elements are, one behind the other
        ggml_tensor& cache = *graph.node(GGML_OP_SET_ROWS).src[2];
        std::fill(cache.nb + 1, cache.nb + GGML_MAX_DIMS, size_t{2});
      },
      with(GGML_OP_FLASH_ATTN_EXT, [](ggml_tensor& it) { it.src[3]->ne[0] -= 64; }),
      with(GGML_OP_FLASH_ATTN_EXT, [](ggml_tensor& it) { it.src[3]->ne[1] -= 1; }),
      with(GGML_OP_FLASH_ATTN_EXT, [](ggml_tensor& it) { it.src[3]->type = GGML_TYPE_I32; }),
      with(GGML_OP_ROPE, [](ggml_tensor& it) { it.src[2]->ne[0] = 8; }),
      with(GGML_OP_SET_ROWS, [](ggml_tensor& it) { it.src[1]->type = GGML_TYPE_F16; }),
      with(GGML_OP_SET_ROWS, [](ggml_tensor& it) { it.src[2]->type = GGML_TYPE_I32; }),
      // Sources that are not there, are others, or are too many.
      with(GGML_OP_ADD, [](ggml_tensor& it) { it.src[1] = nullptr; }),
      with(GGML_OP_ADD, [](ggml_tensor& it) { it.src[1] = &it; }),
      with(GGML_OP_ADD, [](ggml_tensor& it) { it.src[5] = it.src[0]; }),
      with(GGML_OP_FLASH_ATTN_EXT, [](ggml_tensor& it) { it.src[2] = nullptr; }),
      with(GGML_OP_FLASH_ATTN_EXT, [](ggml_tensor& it) { it.src[7] = it.src[0]; }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { std::swap(it.src[0], it.src[1]); }),
      with(GGML_OP_SET_ROWS, [](ggml_tensor& it) { it.src[2] = it.src[0]; }),
      [](LayerGraph& graph) { graph.node(GGML_OP_RMS_NORM).src[0] = graph.result(); },
      [](LayerGraph& graph) { graph.node(GGML_OP_SET_ROWS).src[1] = &graph.node(GGML_OP_ROPE); },
      // Weights by other names, in other shapes, and as what is written to.
      [](LayerGraph& graph) { ggml_set_name(graph.weights()[0], "token_embd.weight"); },
      [](LayerGraph& graph) { ggml_set_name(graph.weights()[0], "blk.9.attn_norm.weight"); },
      [](LayerGraph& graph) { std::fill_n(graph.weights()[0]->name, GGML_MAX_NAME - 1, 'x'); },
      [](LayerGraph& graph) { graph.weights()[1]->type = GGML_TYPE_F32; },
      [](LayerGraph& graph) { graph.weights()[1]->ne[1] *= 2; },
      [](LayerGraph& graph) {
        ggml_tensor& rows = graph.node(GGML_OP_SET_ROWS);
        rows.src[2] = rows.view_src = graph.weights()[1];
      },
      [](LayerGraph& graph) {  // a matrix that has an address and no memory
        ggml_tensor& view = graph.node(GGML_OP_RESHAPE);
        view.src[0] = view.view_src = graph.weights()[1];
      },
      // Memory that is none, and addresses that wrap.
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.buffer = nullptr; }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.data = nullptr; }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.data = reinterpret_cast<void*>(uintptr_t{0xfffffffffffffff0}); }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.data = static_cast<char*>(it.data) + (1 << 30); }),
      with(GGML_OP_MUL_MAT, [](ggml_tensor& it) { it.data = static_cast<char*>(it.data) + 4; }),
      with(GGML_OP_VIEW, [](ggml_tensor& it) { it.data = static_cast<char*>(it.data) + 64; }),
      with(GGML_OP_SET_ROWS, [](ggml_tensor& it) { it.data = static_cast<char*>(it.data) - 64; }),
      [](LayerGraph& graph) { graph.inputs().front()->ne[1] *= 100000; },
      [](LayerGraph& graph) {
        graph.inputs().front()->nb[3] = 0xffffffff;
        graph.inputs().front()->ne[3] = 9;
      },
      [](LayerGraph& graph) { graph.inputs().front()->type = GGML_TYPE_Q6_K; },
  };
  ASSERT_EQ(status_of([](LayerGraph&) {}), ReplyStatus::kDone) << reason();
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(status_of(changes[i]), ReplyStatus::kRefused) << "change " << i;
    EXPECT_FALSE(reason().empty());
  }
  EXPECT_EQ(status_of([](LayerGraph&) {}), ReplyStatus::kDone) << reason();
}

// Rows are as far apart as nb[1] says, which ggml does not look at where there is one in its dimension.
TEST_F(WholeLayers, RowsThatLieElsewhereAreNotRead) {
  LayerKind kind;
  kind.flash = false;
  kind.soft_cap = true;
  kind.tokens = 1;
  kind.layers = 1;
  EXPECT_EQ(status_of([](LayerGraph&) {}, kind), ReplyStatus::kDone) << reason();
  const auto change = [](LayerGraph& graph) {
    ggml_tensor& scaled = graph.node(GGML_OP_SCALE);
    ggml_tensor& mask = *graph.node(GGML_OP_SOFT_MAX).src[1];
    mask.type = GGML_TYPE_F32;
    std::copy(std::begin(scaled.ne), std::end(scaled.ne), mask.ne);
    std::copy(std::begin(scaled.nb), std::end(scaled.nb), mask.nb);
    mask.nb[1] = size_t{1} << 31;
    scaled.src[0] = &mask;
  };
  EXPECT_EQ(status_of(change, kind), ReplyStatus::kRefused);
  EXPECT_NE(reason().find("(SCALE)"), std::string::npos) << reason();
}

TEST_F(WholeLayers, WeightsAreNotWrittenTo) {
  const auto change = [](LayerGraph& graph) {
    ggml_tensor& scaled = graph.node(GGML_OP_MUL);
    ggml_tensor& weight = *graph.weights()[0];
    scaled.src[0] = scaled.src[1] = scaled.view_src = &weight;
    std::copy(std::begin(weight.ne), std::end(weight.ne), scaled.ne);
    std::copy(std::begin(weight.nb), std::end(weight.nb), scaled.nb);
    scaled.data = nullptr;
    scaled.buffer = nullptr;
  };
  EXPECT_EQ(status_of(change), ReplyStatus::kRefused);
  EXPECT_NE(reason().find("writes to a weight"), std::string::npos) << reason();
}

TEST_F(WholeLayers, GraphsHaveABoundedNumberOfNodes) {
  LayerGraph graph = bench_->there();
  graph.build(changed_kind());
  const ggml_context_ptr context(
      ggml_init({ggml_graph_overhead_custom(2 * kMostGraphNodes, false) + 1024, nullptr, true}));
  ggml_cgraph* many = ggml_new_graph_custom(context.get(), 2 * kMostGraphNodes, false);
  EXPECT_EQ(bench_->compute_there(many).status, ReplyStatus::kRefused);
  for (uint32_t i = 0; i <= kMostGraphNodes; ++i) {
    ggml_graph_add_node(many, graph.inputs().front());
  }
  EXPECT_EQ(bench_->compute_there(many).status, ReplyStatus::kRefused);
  ggml_graph_clear(many);
  ggml_graph_add_node(many, nullptr);
  EXPECT_EQ(bench_->compute_there(many).status, ReplyStatus::kRefused);
}

TEST_F(WholeLayers, AreForThoseWhoseHelloSaysSo) {
  WorkerHello hello = bench_->hello();
  hello.threads = 7;
  EXPECT_FALSE(bench_->greet(hello));
  EXPECT_NE(reason().find("threads"), std::string::npos);
  hello.any_cpu = 1;
  EXPECT_TRUE(bench_->greet(hello));
  hello = bench_->hello();
  hello.split = static_cast<AskedSplit>(2);
  EXPECT_FALSE(bench_->greet(hello));
  hello.split = AskedSplit::kParts;
  ASSERT_TRUE(bench_->greet(hello));
  const std::array<std::byte, 4> bytes = {};
  bench_->set("any", bytes);
  EXPECT_NE(reason().find("none of the protocol's names"), std::string::npos);
}

// What a peer has is taken from what stays of the weights.
TEST_F(WholeLayers, MemoryIsDivided) {
  const uint64_t most = bench_->worker().facts.peer_memory;
  ASSERT_GT(most, 8 * kMiB);
  const std::vector<WarmExpert> wanted = {{0, 0}, {1, 0}};
  bench_->set(kWarmName, std::as_bytes(std::span(wanted)));
  LayerKind kind;
  const auto read_bytes = [&] {
    LayerGraph graph = bench_->there();
    graph.build(kind);
    LayersStatus status;
    for (int turn = 0; turn < 3; ++turn) {
      status = bench_->compute_there(graph.graph());
      EXPECT_EQ(status.status, ReplyStatus::kDone) << reason();
    }
    return status.read_bytes;
  };
  EXPECT_EQ(read_bytes(), 0U) << "both layers stay";
  ggml_backend_buffer_ptr large(ggml_backend_buft_alloc_buffer(bench_->type(), most - 2 * kMiB));
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(ggml_backend_buft_alloc_buffer(bench_->type(), 3 * kMiB), nullptr);
  ggml_backend_buffer_clear(large.get(), 7);
  EXPECT_EQ(static_cast<char*>(ggml_backend_buffer_get_base(large.get()))[most - 2 * kMiB - 1], 7);
  EXPECT_GT(read_bytes(), 0U) << "there is no room for them";
  large.reset();
  bench_->set(kWarmName, std::as_bytes(std::span(wanted)));
  EXPECT_EQ(read_bytes(), 0U);
}

}  // namespace
}  // namespace hypura
