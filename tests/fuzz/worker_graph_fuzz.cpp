// Graphs and asks of a peer, as llama.cpp's RPC server hands them to a worker's devices: a block as a client of ours
// describes it, or a graph of whole layers as llama.cpp makes it, changed by what the input says. Whatever comes, it is
// refused or computed; of what is computed, nothing is written but a block's reply.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "load/layers_bench_for_test.h"
#include "load/open_worker.h"
#include "remote/protocol.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kPairs = 4;
constexpr uint64_t kBuffer = 64 * kKiB;
constexpr uint64_t kReplyAt = 32 * kKiB;
constexpr uint64_t kBehind = 48 * kKiB;  // where nothing of a reply lies
constexpr std::byte kUntouched{0xa5};

[[noreturn]] void stop_with(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Takes values off the input's front; zeros when it is used up.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }

  template <class T>
  T number() {
    T value{};
    const size_t count = std::min(sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }

  size_t below(size_t bound) { return number<uint8_t>() % bound; }

  // Small ones mostly, and those at which sums wrap.
  uint64_t size() {
    constexpr std::array<uint64_t, 6> kEdges = {UINT32_MAX, 1ULL << 31, UINT64_MAX, 1ULL << 63, kBuffer, kBuffer - 1};
    const auto kind = number<uint8_t>();
    return kind < 200 ? kind : kind < 240 ? number<uint16_t>() : kEdges[kind % kEdges.size()];
  }

 private:
  std::span<const uint8_t> bytes_;
};

// A worker of the project's model, its first device, and memory of a peer's on it.
class Bench {
 public:
  Bench() {
    logger().set_level(spdlog::level::off);
    WorkerRequest request;
    request.model = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf";
    request.memory = 16 * kMiB;
    request.threads = 1;
    auto opened = open_worker(request);
    if (!opened) {
      stop_with(opened.error().message.c_str());
    }
    worker_ = std::move(*opened);
    start_worker(*worker_);
    backend_ = ggml_backend_dev_init(worker_->device->devices().front(), nullptr);
    buffer_ = ggml_backend_alloc_buffer(backend_, kBuffer);
  }

  std::byte* base() { return static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer_)); }
  ggml_backend_buffer_t buffer() { return buffer_; }
  const OpenWorker& worker() { return *worker_; }

  void greet() {
    worker_->device->begin_connection();
    WorkerHello hello;
    hello.identity = worker_->facts.identity;
    ggml_tensor tensor{};
    tensor.type = GGML_TYPE_I8;
    tensor.ne[0] = sizeof(hello);
    tensor.ne[1] = tensor.ne[2] = tensor.ne[3] = 1;
    tensor.nb[0] = 1;
    tensor.nb[1] = tensor.nb[2] = tensor.nb[3] = sizeof(hello);
    tensor.buffer = buffer_;
    tensor.data = base();
    ggml_set_name(&tensor, std::string(kHelloName).c_str());
    ggml_backend_tensor_set(&tensor, &hello, 0, sizeof(hello));
  }

  void compute(ggml_cgraph* graph) { ggml_backend_graph_compute(backend_, graph); }

 private:
  std::unique_ptr<OpenWorker> worker_;
  ggml_backend_t backend_ = nullptr;
  ggml_backend_buffer_t buffer_ = nullptr;
};

// gate, up, down, ask, ids; two products, a gate, a product.
class Block {
 public:
  explicit Block(Bench& bench) : bench_(bench), tensors_(16) {
    const Model& model = *bench.worker().model;
    const std::array<const TensorInfo*, 3> weights = {model.find("blk.0.ffn_gate_exps.weight"),
                                                      model.find("blk.0.ffn_up_exps.weight"),
                                                      model.find("blk.0.ffn_down_exps.weight")};
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto& shape = weights[i]->shape;
      make(i, static_cast<ggml_type>(weights[i]->type), {shape[0], shape[1], shape[2]}, weights[i]->name);
    }
    const int64_t width = weights[0]->shape[0];
    const int64_t inner = weights[0]->shape[1];
    make(3, GGML_TYPE_F32, {width, 1, kPairs}, std::string(kAskName));
    make(4, GGML_TYPE_I32, {1, kPairs, 1}, std::string(kIdsName));
    make_node(5, GGML_OP_MUL_MAT_ID, inner, {0, 3, 4});
    make_node(6, GGML_OP_MUL_MAT_ID, inner, {1, 3, 4});
    make_node(7, GGML_OP_GLU, inner, {5, 6});
    make_node(8, GGML_OP_MUL_MAT_ID, width, {2, 7, 4});
    tensors_[7].op_params[0] = GGML_GLU_OP_SWIGLU;
    tensors_[3].buffer = tensors_[8].buffer = bench.buffer();
    tensors_[3].data = bench.base();
    tensors_[8].data = bench.base() + kReplyAt;
    ggml_set_name(&tensors_[8], std::string(kReplyName).c_str());
    for (size_t i = 9; i < tensors_.size(); ++i) {  // for changes to use
      make(i, GGML_TYPE_F32, {inner, 1, kPairs}, "");
    }
    nodes_ = {&tensors_[5], &tensors_[6], &tensors_[7], &tensors_[8]};
  }

  void change(Input& input);

  const std::vector<ggml_tensor*>& nodes() const { return nodes_; }

 private:
  void make(size_t at, ggml_type type, std::array<int64_t, 3> ne, const std::string& name) {
    ggml_tensor& tensor = tensors_[at];
    tensor.type = type;
    std::copy(ne.begin(), ne.end(), tensor.ne);
    tensor.ne[3] = 1;
    tensor.nb[0] = ggml_type_size(type);
    tensor.nb[1] = ggml_row_size(type, ne[0]);
    tensor.nb[2] = tensor.nb[1] * static_cast<size_t>(ne[1]);
    tensor.nb[3] = tensor.nb[2] * static_cast<size_t>(ne[2]);
    ggml_set_name(&tensor, name.c_str());
  }

  void make_node(size_t at, ggml_op op, int64_t ne0, const std::vector<size_t>& sources) {
    make(at, GGML_TYPE_F32, {ne0, 1, kPairs}, "");
    tensors_[at].op = op;
    tensors_[at].flags = GGML_TENSOR_FLAG_COMPUTE;
    for (size_t i = 0; i < sources.size(); ++i) {
      tensors_[at].src[i] = &tensors_[sources[i]];
    }
  }

  ggml_tensor* any(Input& input) {
    const size_t at = input.below(tensors_.size() + 1);
    return at == tensors_.size() ? nullptr : &tensors_[at];
  }

  Bench& bench_;
  std::vector<ggml_tensor> tensors_;
  std::vector<ggml_tensor*> nodes_;
};

// One field of `tensor`. False: it was to be another kind of change. `any` gives a tensor of the graph, or nullptr.
bool change_field(ggml_tensor& tensor, Input& input, size_t kind, const std::function<ggml_tensor*()>& any) {
  switch (kind) {
    case 0: {
      const auto type = static_cast<ggml_type>(input.below(GGML_TYPE_COUNT));
      tensor.type = ggml_blck_size(type) == 0 ? GGML_TYPE_F16 : type;  // the server lets no other through
      return true;
    }
    case 1:
      tensor.ne[input.below(4)] = static_cast<uint32_t>(input.size());
      return true;
    case 2:
      tensor.nb[input.below(4)] = static_cast<uint32_t>(input.size());
      return true;
    case 3:
      tensor.op = static_cast<ggml_op>(input.below(GGML_OP_COUNT + 8));
      return true;
    case 4:
      tensor.op_params[input.below(GGML_MAX_OP_PARAMS / sizeof(int32_t))] = static_cast<int32_t>(input.size());
      return true;
    case 5:
      tensor.flags = static_cast<int32_t>(input.below(64));
      return true;
    case 6:
      tensor.src[input.below(GGML_MAX_SRC)] = any();
      return true;
    case 7:
      tensor.view_src = any();
      tensor.op = GGML_OP_VIEW;
      return true;
    case 8:
      tensor.view_offs = input.size();
      return true;
    default:
      return false;
  }
}

// One field of one tensor, or the list of nodes.
void Block::change(Input& input) {
  ggml_tensor& tensor = tensors_[input.below(tensors_.size())];
  const size_t kind = input.below(14);
  if (change_field(tensor, input, kind, [&] { return any(input); })) {
    return;
  }
  switch (kind) {
    case 9:
      // Added as numbers: a peer's address may wrap, and a pointer of ours that does is undefined.
      tensor.data = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(bench_.base()) + input.size());
      break;
    case 10:
      tensor.buffer = input.below(2) == 0 ? bench_.buffer() : nullptr;
      tensor.data = tensor.buffer == nullptr ? nullptr : tensor.data;
      break;
    case 11: {
      const std::array<std::string, 7> names = {
          std::string(kAskName),      std::string(kIdsName),        std::string(kReplyName), "blk.1.ffn_up_exps.weight",
          "blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight", "token_embd.weight"};
      ggml_set_name(&tensor, names[input.below(names.size())].c_str());
      break;
    }
    case 12:
      nodes_.insert(nodes_.begin() + static_cast<ptrdiff_t>(input.below(nodes_.size() + 1)), any(input));
      break;
    default:
      if (!nodes_.empty()) {
        nodes_.erase(nodes_.begin() + static_cast<ptrdiff_t>(input.below(nodes_.size())));
      }
  }
}

void write_ask(Bench& bench, Input& input) {
  std::memset(bench.base(), 0, kReplyAt);
  Ask ask;
  ask.number = 1;
  ask.pairs = static_cast<uint32_t>(input.size());
  ask.tokens = static_cast<uint32_t>(input.size());
  ask.prompt = ask.tokens % 2;
  std::memcpy(bench.base(), &ask, sizeof(ask));
  for (size_t i = 0; i < kPairs; ++i) {
    const AskedPair pair = {static_cast<int32_t>(input.size()), static_cast<uint32_t>(input.size())};
    std::memcpy(bench.base() + sizeof(ask) + i * sizeof(pair), &pair, sizeof(pair));
  }
  std::fill(bench.base() + kReplyAt, bench.base() + kBuffer, kUntouched);
}

LayerKind layer_kind(Input& input) {
  LayerKind kind;
  const uint8_t parts = input.number<uint8_t>();
  kind.flash = (parts & 1) != 0;
  kind.biases = kind.factors = (parts & 2) != 0;
  kind.head_norms = kind.layer_norm = (parts & 4) != 0;
  kind.sinks = kind.soft_cap = (parts & 8) != 0;
  kind.cache = (parts & 16) != 0 && kind.flash ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
  kind.outputs = (parts & 32) != 0 ? 1 : -1;
  kind.fused_gate = (parts & 64) != 0;
  kind.tokens = (parts & 128) != 0 ? 1 : 3;
  kind.layers = 1;
  return kind;
}

ExpertKind expert_kind(Input& input) {
  ExpertKind kind;
  const uint8_t parts = input.number<uint8_t>();
  kind.biases = (parts & 1) != 0;
  kind.softmax = (parts & 2) != 0;
  kind.late = (parts & 4) != 0;
  kind.normed = (parts & 8) != 0;
  kind.groups = (parts & 16) != 0 ? 4 : 0;
  kind.layers = (parts & 32) != 0 ? 2 : 1;
  kind.scale = (parts & 64) != 0 ? 2 : 1;
  kind.tokens = (parts & 128) != 0 ? 1 : 3;
  return kind;
}

// Graphs of one connection, of which the last that was refused too often is the first of another.
void try_layers(Input& input, LayersBench& bench, const std::function<void(LayerGraph&)>& build) {
  if (!bench.greet()) {
    stop_with("a hello was refused");
  }
  LayerGraph graph = bench.there();
  build(graph);
  std::vector<ggml_tensor*> all = graph.inputs();
  all.insert(all.end(), graph.weights().begin(), graph.weights().end());
  all.insert(all.end(), ggml_graph_nodes(graph.graph()),
             ggml_graph_nodes(graph.graph()) + ggml_graph_n_nodes(graph.graph()));
  std::vector<std::span<std::byte>> memory;  // as it is before tensors are changed
  for (const ggml_tensor* it : graph.inputs()) {
    memory.emplace_back(static_cast<std::byte*>(it->data), ggml_nbytes(it));
  }
  const auto any = [&]() -> ggml_tensor* {
    const size_t at = input.below(all.size() + 1);
    return at == all.size() ? nullptr : all[at];
  };
  for (int changes = 0; !input.empty() && changes < 64; ++changes) {
    ggml_tensor* tensor = all[input.below(all.size())];
    const size_t what = input.below(12);
    if (change_field(*tensor, input, what, any)) {
      continue;
    }
    if (what == 9) {  // as with blocks
      tensor->data = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(tensor->data) + input.size());
    } else if (what == 10) {
      tensor->buffer = nullptr;
      tensor->data = nullptr;
    } else {  // numbers by which rows are chosen, and all else
      const uint64_t value = input.size();
      const std::span<std::byte> bytes = memory[input.below(memory.size())];
      std::memcpy(bytes.data(), &value, std::min(sizeof(value), bytes.size()));
    }
  }
  bench.compute_there(graph.graph());
}

void try_one(std::span<const uint8_t> bytes) {
  static Bench bench;
  if (!bytes.empty() && (bytes.front() == 'L' || bytes.front() == 'E')) {
    static LayersBench dense;
    static LayersBench with_experts(96 * kMiB, "hypura-stories-moe.gguf");
    Input of_layers(bytes.subspan(1));
    try {
      if (bytes.front() == 'L') {
        try_layers(of_layers, dense, [&](LayerGraph& graph) { graph.build(layer_kind(of_layers)); });
      } else {
        try_layers(of_layers, with_experts, [&](LayerGraph& graph) { graph.build(expert_kind(of_layers)); });
      }
    } catch (const std::exception&) {  // it was refused too often
    }
    return;
  }
  Input input(bytes);
  bench.greet();
  write_ask(bench, input);
  Block block(bench);
  for (int changes = 0; !input.empty() && changes < 64; ++changes) {
    block.change(input);
  }
  std::vector<std::byte> memory(ggml_graph_overhead_custom(256, false) + 4 * ggml_tensor_overhead());
  ggml_context* context = ggml_init({memory.size(), memory.data(), true});
  ggml_cgraph* graph = ggml_new_graph_custom(context, 256, false);
  for (ggml_tensor* node : block.nodes()) {
    ggml_graph_add_node(graph, node);
  }
  try {
    bench.compute(graph);
  } catch (const std::exception&) {  // it was refused too often
  }
  ggml_free(context);
  const auto at_end = std::span(bench.base() + kBehind, kBuffer - kBehind);
  const bool moved = std::ranges::any_of(block.nodes(), [&](const ggml_tensor* node) {
    return node != nullptr && node->data != nullptr && node->data != bench.base() + kReplyAt;
  });
  if (!moved && std::ranges::any_of(at_end, [](std::byte it) { return it != kUntouched; })) {
    stop_with("something was written behind the reply");
  }
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hypura::try_one({data, size});
  return 0;
}
