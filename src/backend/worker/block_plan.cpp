#include "backend/worker/block_plan.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "remote/protocol.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

constexpr int kWidestRule = 4;       // of experts
constexpr int kWidestDenseRule = 2;  // gate, up, what becomes of them, down: its rows take more memory

bool has_shape(const ggml_tensor& tensor, ggml_type type, const std::array<int64_t, 4>& ne) {
  return tensor.type == type && std::equal(ne.begin(), ne.end(), std::begin(tensor.ne));
}

// Rows of `width` floats, one behind the other.
bool is_contiguous_rows(const ggml_tensor& tensor, int64_t width, int64_t rows) {
  const auto row = static_cast<size_t>(width) * sizeof(float);
  return has_shape(tensor, GGML_TYPE_F32, {width, 1, rows, 1}) && tensor.nb[0] == sizeof(float) &&
         tensor.nb[1] == row && tensor.nb[2] == row;
}

bool has_memory(const ggml_tensor& tensor) {
  return tensor.buffer != nullptr || tensor.data != nullptr;
}

bool has_sources(const ggml_tensor& tensor, size_t from) {
  return std::any_of(std::begin(tensor.src) + from, std::end(tensor.src), [](const ggml_tensor* it) { return it; });
}

// A tensor that nothing computes and that is no part of another.
bool is_leaf(const ggml_tensor& tensor) {
  return tensor.op == GGML_OP_NONE && tensor.view_src == nullptr && !has_sources(tensor, 0);
}

class BlockPlanner {
 public:
  BlockPlanner(const WorkerWeights& weights, const PeerMemory& memory) : weights_(weights), memory_(memory) {}

  Result<BlockPlan> plan(ggml_cgraph* graph, uint32_t most_pairs);

 private:
  Status take(const ggml_tensor& tensor, bool last);
  Status take_sources(const ggml_tensor& tensor, PlannedNode& node);
  Status take_product(const ggml_tensor& tensor, PlannedNode& node);
  Status take_bias(const ggml_tensor& tensor, PlannedNode& node);
  Status take_gate(const ggml_tensor& tensor, PlannedNode& node);
  Status take_rows(const ggml_tensor& tensor, size_t count, bool may_view, PlannedNode& node);
  Result<ggml_tensor*> weight(const ggml_tensor* leaf, bool bias);
  Status check_ids(const ggml_tensor* leaf) const;
  Result<PlannedSource> ask(const ggml_tensor& leaf, int64_t width);
  Result<PlannedSource> earlier(const ggml_tensor* source, bool may_view) const;
  Result<PlannedSource> view(const ggml_tensor& part) const;
  uint32_t number_of(const ggml_tensor* tensor) const;
  Status take_reply(const ggml_tensor& tensor);
  tl::unexpected<Error> refused(std::string_view what) const;

  const WorkerWeights& weights_;
  const PeerMemory& memory_;
  BlockPlan plan_;
  std::vector<const ggml_tensor*> tensors_;  // of the nodes so far
  const ggml_tensor* ask_ = nullptr;
  bool has_layer_ = false;
};

tl::unexpected<Error> BlockPlanner::refused(std::string_view what) const {
  return fail(ErrorCode::kUsage, "a graph's node {} {}", tensors_.size(), what);
}

Result<BlockPlan> BlockPlanner::plan(ggml_cgraph* graph, uint32_t most_pairs) {
  const int count = ggml_graph_n_nodes(graph);
  if (count < 1 || static_cast<uint32_t>(count) > kMostNodes) {
    return fail(ErrorCode::kUsage, "a graph has {} nodes; 1 to {} are taken", count, kMostNodes);
  }
  for (int i = 0; i < count; ++i) {
    const ggml_tensor* tensor = ggml_graph_node(graph, i);
    if (tensor == nullptr) {
      return refused("is missing");
    }
    if (i == 0) {
      const int64_t pairs = tensor->ne[2];
      if (pairs < 1 || pairs > most_pairs) {
        return refused("has no number of rows that is taken");
      }
      plan_.most_pairs = static_cast<uint32_t>(pairs);
    }
    if (Status status = take(*tensor, i + 1 == count); !status) {
      return propagate(status.error());
    }
    tensors_.push_back(tensor);
  }
  return std::move(plan_);
}

Status BlockPlanner::take(const ggml_tensor& tensor, bool last) {
  if (number_of(&tensor) < tensors_.size()) {
    return refused("is there twice");
  }
  if (tensor.view_src != nullptr || tensor.flags != GGML_TENSOR_FLAG_COMPUTE) {
    return refused("is a view, or has other flags than that it is to be computed");
  }
  if (!last && has_memory(tensor)) {
    return refused("has memory, though it is not the last");
  }
  // A peer's number may be no operation's, which must not be read as one.
  std::underlying_type_t<ggml_op> number = 0;
  std::memcpy(&number, &tensor.op, sizeof(number));
  if (number >= std::underlying_type_t<ggml_op>{GGML_OP_COUNT}) {
    return refused("is no operation");
  }
  PlannedNode node;
  node.op = tensor.op;
  std::memcpy(node.params.data(), tensor.op_params, sizeof(node.params));
  if (Status status = take_sources(tensor, node); !status) {
    return status;
  }
  if (!is_contiguous_rows(tensor, node.width, plan_.most_pairs)) {
    return refused("has not the shape of what it computes");
  }
  plan_.width_sum += node.width;
  if (plan_.width_sum > most_width(weights_.layers())) {
    return refused("is one of too many wide ones");
  }
  plan_.nodes.push_back(node);
  return last ? take_reply(tensor) : Status();
}

Status BlockPlanner::take_sources(const ggml_tensor& tensor, PlannedNode& node) {
  switch (tensor.op) {
    case GGML_OP_MUL_MAT_ID:
    case GGML_OP_MUL_MAT:
      return take_product(tensor, node);
    case GGML_OP_ADD_ID:
      return take_bias(tensor, node);
    case GGML_OP_GLU:
      return take_gate(tensor, node);
    case GGML_OP_MUL:
      return take_rows(tensor, 2, true, node);
    case GGML_OP_UNARY:
      if (node.params[0] < 0 || node.params[0] >= GGML_UNARY_OP_COUNT) {
        return refused("is an unknown function of one number");
      }
      return take_rows(tensor, 1, true, node);
    case GGML_OP_SCALE:  // ggml's kernel wants rows without gaps
      return take_rows(tensor, 1, false, node);
    case GGML_OP_CLAMP:
    case GGML_OP_SQR:
      return take_rows(tensor, 1, true, node);
    default:
      return refused("is an operation that a block does not have");
  }
}

Status BlockPlanner::take_product(const ggml_tensor& tensor, PlannedNode& node) {
  const auto matrix = weight(tensor.src[0], false);
  if (!matrix) {
    return propagate(matrix.error());
  }
  const bool dense = weights_.layers()[plan_.layer].dense;
  if (dense != (tensor.op == GGML_OP_MUL_MAT)) {
    return refused("is not the product that its matrix is for");
  }
  if (Status status = dense ? Status() : check_ids(tensor.src[2]); !status) {
    return status;
  }
  if (tensor.src[1] == nullptr || has_sources(tensor, dense ? 2 : 3)) {
    return refused("has not the sources of a product");
  }
  const int64_t width = (*matrix)->ne[0];
  const bool of_ask = is_leaf(*tensor.src[1]);
  const auto input = of_ask ? ask(*tensor.src[1], width) : earlier(tensor.src[1], false);
  if (!input) {
    return propagate(input.error());
  }
  if (input->width != width) {
    return refused("multiplies rows of another width than its matrix");
  }
  node.weight = *matrix;
  node.width = (*matrix)->ne[1];
  node.sources[0] = *input;
  node.source_count = 1;
  return {};
}

Status BlockPlanner::take_bias(const ggml_tensor& tensor, PlannedNode& node) {
  const auto rows = earlier(tensor.src[0], false);
  if (!rows) {
    return propagate(rows.error());
  }
  const auto bias = weight(tensor.src[1], true);
  if (!bias) {
    return propagate(bias.error());
  }
  if (Status status = check_ids(tensor.src[2]); !status) {
    return status;
  }
  if ((*bias)->ne[0] != rows->width || has_sources(tensor, 3)) {
    return refused("adds a bias of another width, or has more sources");
  }
  node.weight = *bias;
  node.width = rows->width;
  node.sources[0] = *rows;
  node.source_count = 1;
  return {};
}

// Of one source its halves are gate and input; those that clamp have two.
Status BlockPlanner::take_gate(const ggml_tensor& tensor, PlannedNode& node) {
  const int32_t kind = node.params[0];
  if (kind < 0 || kind >= GGML_GLU_OP_COUNT) {
    return refused("is an unknown gate");
  }
  const bool halves = tensor.src[1] == nullptr;
  if (Status status = take_rows(tensor, halves ? 1 : 2, true, node); !status || !halves) {
    return status;
  }
  if (node.width % 2 != 0 || kind == GGML_GLU_OP_SWIGLU_OAI || kind == GGML_GLU_OP_SWIGLU_CLAMP) {
    return refused("is a gate without its second source");
  }
  node.width /= 2;
  return {};
}

// Rows of earlier nodes, all of one width.
Status BlockPlanner::take_rows(const ggml_tensor& tensor, size_t count, bool may_view, PlannedNode& node) {
  if (has_sources(tensor, count)) {
    return refused("has too many sources");
  }
  for (size_t i = 0; i < count; ++i) {
    const auto source = earlier(tensor.src[i], may_view);
    if (!source) {
      return propagate(source.error());
    }
    node.sources[i] = *source;
    if (source->width != node.sources[0].width) {
      return refused("has sources of different widths");
    }
  }
  node.width = node.sources[0].width;
  node.source_count = static_cast<uint32_t>(count);
  return {};
}

Result<ggml_tensor*> BlockPlanner::weight(const ggml_tensor* leaf, bool bias) {
  if (leaf == nullptr || !is_leaf(*leaf) || has_memory(*leaf)) {
    return refused("has no weight by its name");
  }
  const NamedWeight* named = weights_.find(leaf->name);
  if (named == nullptr || named->use != (bias ? WeightUse::kBias : WeightUse::kMatrix)) {
    return refused(fmt::format("has a weight '{}', which is none that is computed with here", printable(leaf->name)));
  }
  const ggml_tensor& own = *named->tensor;
  if (!has_shape(*leaf, own.type, {own.ne[0], own.ne[1], own.ne[2], own.ne[3]})) {
    return refused(fmt::format("has '{}' in another type or shape than it has here", printable(leaf->name)));
  }
  if (has_layer_ && named->layer != plan_.layer) {
    return refused("is of another layer than those before");
  }
  plan_.layer = named->layer;
  has_layer_ = true;
  return named->tensor;
}

Status BlockPlanner::check_ids(const ggml_tensor* leaf) const {
  const bool good = leaf != nullptr && is_leaf(*leaf) && !has_memory(*leaf) && leaf->name == kIdsName &&
                    has_shape(*leaf, GGML_TYPE_I32, {1, plan_.most_pairs, 1, 1});
  return good ? Status() : refused("has no choice of experts");
}

Result<PlannedSource> BlockPlanner::ask(const ggml_tensor& leaf, int64_t width) {
  if (width > weights_.layers()[plan_.layer].width) {
    return refused("has an ask for a matrix that no row of the layer's goes into");
  }
  if (ask_ == nullptr) {
    if (leaf.name != kAskName || !is_contiguous_rows(leaf, width, plan_.most_pairs)) {
      return refused("has no ask of its matrix's width");
    }
    plan_.ask = memory_.bytes_at(leaf.buffer, reinterpret_cast<uint64_t>(leaf.data),
                                 ask_bytes(plan_.most_pairs, plan_.most_pairs, static_cast<uint64_t>(width)));
    if (plan_.ask.empty()) {
      return refused("has an ask that is not in live memory");
    }
    ask_ = &leaf;
    plan_.ask_width = width;
  } else if (ask_ != &leaf) {
    return refused("has another ask than those before");
  }
  return PlannedSource{PlannedSource::kAsk, 0, plan_.ask_width};
}

Result<PlannedSource> BlockPlanner::earlier(const ggml_tensor* source, bool may_view) const {
  const uint32_t number = number_of(source);
  if (number < tensors_.size()) {
    return PlannedSource{number, 0, plan_.nodes[number].width};
  }
  if (!may_view || source == nullptr || source->op != GGML_OP_VIEW || source->view_src == nullptr) {
    return refused("has a source that is no node before it");
  }
  return view(*source);
}

Result<PlannedSource> BlockPlanner::view(const ggml_tensor& part) const {
  const uint32_t number = number_of(part.view_src);
  if (number >= tensors_.size() || has_memory(part) || has_sources(part, 1) ||
      (part.src[0] != nullptr && part.src[0] != part.view_src)) {
    return refused("has a view of what is no node before it");
  }
  const ggml_tensor& base = *part.view_src;
  const uint64_t row = base.nb[1];
  const int64_t width = part.ne[0];
  const bool within = width >= 1 && width <= base.ne[0] && part.view_offs % sizeof(float) == 0 &&
                      part.view_offs <= row - static_cast<uint64_t>(width) * sizeof(float);
  const bool strides = part.nb[0] == sizeof(float) && part.nb[1] == row && part.nb[2] == base.nb[2];
  if (!within || !strides || !has_shape(part, GGML_TYPE_F32, {width, 1, plan_.most_pairs, 1})) {
    return refused("has a view beyond the rows of its node");
  }
  return PlannedSource{number, part.view_offs, width};
}

// As many as there are nodes so far: it is none of them.
uint32_t BlockPlanner::number_of(const ggml_tensor* tensor) const {
  return static_cast<uint32_t>(std::ranges::find(tensors_, tensor) - tensors_.begin());
}

Status BlockPlanner::take_reply(const ggml_tensor& tensor) {
  const uint32_t experts = weights_.layers()[plan_.layer].experts;
  plan_.reply = memory_.bytes_at(tensor.buffer, reinterpret_cast<uint64_t>(tensor.data),
                                 reply_bytes(experts, plan_.most_pairs, static_cast<uint64_t>(tensor.ne[0])));
  if (tensor.name != kReplyName || plan_.reply.empty()) {
    return refused("is the last, and no reply in live memory");
  }
  return {};
}

}  // namespace

int64_t most_width(const std::vector<WorkerLayer>& layers) {
  int64_t most = 0;
  for (const WorkerLayer& layer : layers) {
    int64_t sum = 0;
    for (const TensorInfo* part : layer.parts) {
      sum += part->shape[1];
    }
    most = std::max(most, sum * (layer.dense ? kWidestDenseRule : kWidestRule));
  }
  return most;
}

Result<BlockPlan> plan_block(ggml_cgraph* graph, const WorkerWeights& weights, const PeerMemory& memory,
                             uint32_t most_pairs) {
  return BlockPlanner(weights, memory).plan(graph, most_pairs);
}

}  // namespace hypura
