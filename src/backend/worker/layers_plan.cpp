#include "backend/worker/layers_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "backend/graph_uses.h"
#include "backend/stream_device.h"
#include "backend/worker/layers_node.h"
#include "remote/protocol.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

// In each of these a product of two stays in 64 bits, and ggml's kernels, which count rows in 32, are right.
constexpr int64_t kMostInDimension = int64_t{1} << 30;
constexpr int64_t kMostRows = int64_t{1} << 30;
constexpr int64_t kMostElements = int64_t{1} << 40;
constexpr size_t kMostStride = size_t{1} << 32;

constexpr uint64_t kAligned = 16;  // where a tensor begins that is no view
constexpr uint64_t kMostWork = 64 * kMiB;

// Types that memory of a peer's may have: of inputs, and those that llama.cpp has a KV cache of.
constexpr std::array<ggml_type, 11> kPeerTypes = {GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16,  GGML_TYPE_I32,
                                                  GGML_TYPE_I64,  GGML_TYPE_Q8_0, GGML_TYPE_Q4_0,  GGML_TYPE_Q4_1,
                                                  GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_IQ4_NL};

bool is_peer_type(ggml_type type) {
  return std::ranges::find(kPeerTypes, type) != kPeerTypes.end();
}

// A peer's number may be no operation's, which must not be read as one.
bool is_operation(const ggml_tensor& tensor) {
  std::underlying_type_t<ggml_op> number = 0;
  std::memcpy(&number, &tensor.op, sizeof(number));
  return number < std::underlying_type_t<ggml_op>{GGML_OP_COUNT};
}

bool has_source(const ggml_tensor& tensor) {
  return std::any_of(std::begin(tensor.src), std::end(tensor.src), [](const ggml_tensor* it) { return it != nullptr; });
}

bool is_plain_leaf(const ggml_tensor& tensor) {
  return tensor.op == GGML_OP_NONE && tensor.view_src == nullptr && !has_source(tensor);
}

// So that sizes and offsets of it can be computed, whatever it says.
bool has_sane_shape(const ggml_tensor& tensor) {
  const int64_t block = ggml_blck_size(tensor.type);
  const size_t element = ggml_type_size(tensor.type);
  if (tensor.ne[0] % block != 0) {
    return false;
  }
  int64_t elements = 1;
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    if (tensor.ne[i] < 0 || tensor.ne[i] > kMostInDimension || tensor.nb[i] > kMostStride ||
        tensor.nb[i] % element != 0) {
      return false;
    }
    if (tensor.ne[i] > 0 && elements > kMostElements / tensor.ne[i]) {
      return false;
    }
    elements *= tensor.ne[i];
  }
  return tensor.ne[1] * tensor.ne[2] <= kMostRows && tensor.ne[1] * tensor.ne[2] * tensor.ne[3] <= kMostRows;
}

bool same_layout(const ggml_tensor& one, const ggml_tensor& other) {
  return one.type == other.type && std::equal(std::begin(one.ne), std::end(one.ne), std::begin(other.ne)) &&
         std::equal(std::begin(one.nb), std::end(one.nb), std::begin(other.nb));
}

// Every tensor that the graph reaches, of which a list of its own would be as long.
size_t count_tensors(ggml_cgraph* graph) {
  std::unordered_set<const ggml_tensor*> all;
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    if (node != nullptr) {
      all.insert(node);
      all.insert(std::begin(node->src), std::end(node->src));
    }
  }
  return all.size();
}

}  // namespace

class LayersPlanner {
 public:
  LayersPlanner(const WorkerWeights& weights, const PeerMemory& memory, uint32_t threads, uint32_t most_rows)
      : weights_(weights), memory_(memory), threads_(threads), most_rows_(most_rows) {}

  Result<LayersPlan> plan(ggml_cgraph* graph);

 private:
  Status look_over(ggml_cgraph* graph);
  Status take(const ggml_tensor& node);
  Status choose(const ggml_tensor& node, ggml_tensor& made);
  void finish_indices();
  Result<ggml_tensor*> source(const ggml_tensor& node, int i);
  Result<ggml_tensor*> leaf(const ggml_tensor& asked);
  Result<ggml_tensor*> weight(const ggml_tensor& asked);
  Result<ggml_tensor*> indices(const ggml_tensor* asked, int64_t below);
  Status place(const ggml_tensor& asked, ggml_tensor& made);
  Status compare(const ggml_tensor& asked, const ggml_tensor& made, const LayersSources& sources) const;
  bool shows_the_same(const ggml_tensor& asked, const ggml_tensor& made) const;
  Status check_streamed(const ggml_tensor& made) const;
  bool lies_within(const ggml_tensor& view) const;
  bool is_weight(const ggml_tensor* ours) const { return weight_set_.contains(ours); }
  tl::unexpected<Error> refused(std::string_view what) const;

  const WorkerWeights& weights_;
  const PeerMemory& memory_;
  uint32_t threads_;
  uint32_t most_rows_;
  LayersPlan plan_;
  ggml_context* ctx_ = nullptr;
  size_t node_ = 0;                                            // in work
  ggml_op op_ = GGML_OP_NONE;                                  // its
  std::unordered_set<const ggml_tensor*> nodes_;               // of the peer's graph
  std::unordered_map<const ggml_tensor*, ggml_tensor*> ours_;  // by the peer's
  std::unordered_set<const ggml_tensor*> weight_set_;          // of ours_
  std::unordered_map<const ggml_tensor*, size_t> indices_;     // by the peer's leaf, in plan_
};

tl::unexpected<Error> LayersPlanner::refused(std::string_view what) const {
  return fail(ErrorCode::kUsage, "a layers' graph's node {} ({}) {}", node_, ggml_op_name(op_), what);
}

Result<LayersPlan> LayersPlanner::plan(ggml_cgraph* graph) {
  const int count = ggml_graph_n_nodes(graph);
  if (count < 1 || static_cast<uint32_t>(count) > kMostGraphNodes) {
    return fail(ErrorCode::kUsage, "a layers' graph has {} nodes; 1 to {} are taken", count, kMostGraphNodes);
  }
  if (Status status = look_over(graph); !status) {
    return propagate(status.error());
  }
  const size_t nodes = static_cast<size_t>(count) + plan_.choices_.most_nodes();
  const size_t tensors = 2 * count_tensors(graph);  // leaves may have a copy, and choices scores
  plan_.memory_.resize(tensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(nodes, false));
  plan_.context_.reset(ggml_init({plan_.memory_.size(), plan_.memory_.data(), true}));
  ctx_ = plan_.context_.get();
  plan_.graph_ = ggml_new_graph_custom(ctx_, nodes, false);
  nodes_.insert(ggml_graph_nodes(graph), ggml_graph_nodes(graph) + count);
  for (int i = 0; i < count; ++i) {
    node_ = static_cast<size_t>(i);
    op_ = ggml_graph_node(graph, i)->op;
    if (Status status = take(*ggml_graph_node(graph, i)); !status) {
      return propagate(status.error());
    }
  }
  finish_indices();
  count_graph_uses(plan_.graph_);  // by which blocks of experts know what is used beside them
  return std::move(plan_);
}

Status LayersPlanner::look_over(ggml_cgraph* graph) {
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    node_ = static_cast<size_t>(i);
    op_ = GGML_OP_NONE;
    if (node == nullptr) {
      return refused("is missing");
    }
    if (!is_operation(*node)) {
      return refused("is no operation");
    }
  }
  plan_.choices_.find(graph);
  return {};
}

void LayersPlanner::finish_indices() {
  uint64_t bytes = 0;
  for (const LayersPlan::Indices& it : plan_.indices_) {
    bytes += round_up(ggml_nbytes(it.copy), kAligned);
  }
  plan_.index_data_.resize(bytes);
  bytes = 0;
  for (LayersPlan::Indices& it : plan_.indices_) {
    it.copy->data = plan_.index_data_.data() + bytes;
    bytes += round_up(ggml_nbytes(it.copy), kAligned);
  }
}

Status LayersPlanner::take(const ggml_tensor& node) {
  if (is_plain_leaf(node)) {  // which is computed by nobody
    const auto ours = leaf(node);
    return ours ? Status() : propagate(ours.error());
  }
  if (ours_.contains(&node)) {
    return refused("is there twice");
  }
  if (!has_sane_shape(node)) {
    return refused("has a shape that no tensor of a layer has");
  }
  LayersSources sources = {};
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    if (node.src[i] == nullptr || node.src[i] == &node) {
      continue;
    }
    const auto ours = source(node, i);
    if (!ours) {
      return propagate(ours.error());
    }
    sources[static_cast<size_t>(i)] = *ours;
  }
  const auto made = make_layers_node(ctx_, node, sources);
  if (!made) {
    return refused(made.error().message);
  }
  if (Status status = compare(node, **made, sources); !status) {
    return status;
  }
  if (Status status = place(node, **made); !status) {
    return status;
  }
  if (work_bytes(**made, threads_) > kMostWork) {
    return refused(
        "takes more memory to compute than a worker has for that: let attention be flash attention, or give "
        "a smaller batch");
  }
  (*made)->flags = node.flags & GGML_TENSOR_FLAG_COMPUTE;
  if (Status status = choose(node, **made); !status) {
    return status;
  }
  ours_[&node] = *made;
  ggml_graph_add_node(plan_.graph_, *made);
  return {};
}

// What a router's choice is made of, and what is computed by it.
Status LayersPlanner::choose(const ggml_tensor& node, ggml_tensor& made) {
  LayersChoices& choices = plan_.choices_;
  const bool sorts = made.op == GGML_OP_ARGSORT;
  if ((sorts && !ggml_is_empty(&made) && !choices.make_comparable(ctx_, plan_.graph_, made)) ||
      (sorts && choices.wanted(&node) && !choices.place(made))) {
    return refused("chooses of more than a router does");
  }
  if (made.op == GGML_OP_MUL_MAT_ID) {
    const auto rows = static_cast<uint64_t>(made.ne[2]);
    if (rows > most_rows_) {
      return refused(
          fmt::format("computes experts of {} rows, where {} are the most: give a smaller --ubatch, or the "
                      "worker more memory",
                      rows, most_rows_));
    }
    plan_.routed_rows_ = std::max(plan_.routed_rows_, static_cast<uint32_t>(rows));
  }
  return {};
}

// What stands for a source of `node`: something before it.
Result<ggml_tensor*> LayersPlanner::source(const ggml_tensor& node, int i) {
  const ggml_tensor* asked = node.src[i];
  const ChosenRows chosen = chosen_rows(node.op);
  if (i == chosen.indices) {
    const ggml_tensor* rows = node.src[chosen.rows];
    return indices(asked, rows == nullptr || rows == &node ? 0 : rows->ne[chosen.dimension]);
  }
  if (const auto it = ours_.find(asked); it != ours_.end()) {
    return it->second;
  }
  if (nodes_.contains(asked)) {
    return refused("has a source that comes behind it");
  }
  return leaf(*asked);
}

// What no node of the graph computes: a weight, or what lies in the peer's memory, whatever it was computed from.
Result<ggml_tensor*> LayersPlanner::leaf(const ggml_tensor& asked) {
  if (const auto it = ours_.find(&asked); it != ours_.end()) {
    return it->second;
  }
  if (asked.buffer == nullptr && asked.data == nullptr) {
    return is_operation(asked) && is_plain_leaf(asked) ? weight(asked)
                                                       : refused("has a source that is no node before it");
  }
  if (!is_peer_type(asked.type) || !has_sane_shape(asked)) {
    return refused("has memory of a type or shape that no input and no cache has");
  }
  ggml_tensor* made = ggml_new_tensor_4d(ctx_, asked.type, asked.ne[0], asked.ne[1], asked.ne[2], asked.ne[3]);
  std::copy(std::begin(asked.nb), std::end(asked.nb), made->nb);
  if (Status status = place(asked, *made); !status) {
    return propagate(status.error());
  }
  return ours_[&asked] = made;
}

Result<ggml_tensor*> LayersPlanner::weight(const ggml_tensor& asked) {
  const NamedWeight* named = weights_.find(asked.name);
  if (named == nullptr) {
    return refused(fmt::format("has a weight '{}', which is none of a layer here", printable(asked.name)));
  }
  if (!same_layout(asked, *named->tensor)) {
    return refused(fmt::format("has '{}' in another type or shape than it has here", printable(asked.name)));
  }
  weight_set_.insert(named->tensor);
  return ours_[&asked] = named->tensor;
}

// A choice of the graph's own; or a copy of what lies in the peer's memory and no node of the graph computes, which
// read_indices() fills: with several uses all numbers are below all bounds.
Result<ggml_tensor*> LayersPlanner::indices(const ggml_tensor* asked, int64_t below) {
  if (const auto it = ours_.find(asked); it != ours_.end() && plan_.choices_.has(it->second)) {
    const auto most = plan_.choices_.below(it->second);
    return most && *most <= below ? Result<ggml_tensor*>(it->second)
                                  : refused("chooses of fewer rows than there are numbers, or by another's choice");
  }
  const bool integers = asked->type == GGML_TYPE_I32 || asked->type == GGML_TYPE_I64;
  if (!is_operation(*asked) || nodes_.contains(asked) || !integers) {
    return refused("chooses rows by numbers that are neither set nor a router's choice");
  }
  if (const auto it = indices_.find(asked); it != indices_.end()) {
    LayersPlan::Indices& known = plan_.indices_[it->second];
    known.below = std::min(known.below, below);
    return known.copy;
  }
  const auto ours = leaf(*asked);
  if (!ours) {
    return propagate(ours.error());
  }
  if (is_weight(*ours) || (*ours)->nb[0] != ggml_type_size(asked->type)) {
    return refused("chooses rows by numbers that are a weight's, or have gaps");
  }
  ggml_tensor* copy = ggml_dup_tensor(ctx_, *ours);
  indices_[asked] = plan_.indices_.size();
  plan_.indices_.push_back({copy, *ours, below});
  return copy;
}

// Whether all of `view` lies in what it shows.
bool LayersPlanner::lies_within(const ggml_tensor& view) const {
  if (ggml_is_empty(&view)) {
    return true;
  }
  const uint64_t size = ggml_nbytes(view.view_src);
  uint64_t end = ggml_row_size(view.type, ggml_blck_size(view.type));
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    const int64_t steps = (i == 0 ? view.ne[0] / ggml_blck_size(view.type) : view.ne[i]) - 1;
    const uint64_t more = static_cast<uint64_t>(steps) * view.nb[i];  // at most 2^62: its shape was looked at
    if (more > size) {
      return false;
    }
    end += more;
  }
  return view.view_offs <= size && end <= size - view.view_offs;
}

// Gives `made` the memory that the peer has for it.
Status LayersPlanner::place(const ggml_tensor& asked, ggml_tensor& made) {
  const auto address = reinterpret_cast<uint64_t>(asked.data);
  if (made.view_src != nullptr) {
    if (!lies_within(made)) {
      return refused("is a view beyond what it shows");
    }
    const bool chosen = plan_.choices_.has(made.view_src);
    if (!only_shows(made.op) && (chosen || is_weight(made.view_src))) {
      return refused(chosen ? "writes to a router's choice" : "writes to a weight");
    }
    const bool named = chosen || (is_weight(made.view_src) && asked.data == nullptr);
    return named || ggml_is_empty(&made) || address == reinterpret_cast<uint64_t>(made.data)
               ? Status()
               : refused("is a view with other memory than it shows");
  }
  if (ggml_is_empty(&made)) {
    return {};
  }
  const std::span<std::byte> bytes = memory_.bytes_at(asked.buffer, address, ggml_nbytes(&made));
  if (bytes.empty() || address % kAligned != 0) {
    return refused("has memory that is not in a live buffer, or begins where no tensor does");
  }
  made.data = bytes.data();
  return {};
}

Status LayersPlanner::compare(const ggml_tensor& asked, const ggml_tensor& made, const LayersSources& sources) const {
  for (size_t i = 0; i < sources.size(); ++i) {
    const bool itself = asked.src[i] == &asked;
    if (made.src[i] != (itself ? &made : sources[i])) {
      return refused("has other sources than its operation");
    }
  }
  if (!same_layout(asked, made)) {
    return refused("has another type, shape or layout than what it computes");
  }
  if (!std::equal(std::begin(asked.op_params), std::end(asked.op_params), std::begin(made.op_params))) {
    return refused("has other parameters than its operation");
  }
  if (!shows_the_same(asked, made)) {
    return refused("is a view of something else than its operation shows");
  }
  return check_streamed(made);
}

// What a source that no node of the graph makes is a view of has nothing of ours: its source stands for it.
bool LayersPlanner::shows_the_same(const ggml_tensor& asked, const ggml_tensor& made) const {
  if (asked.view_src == nullptr || made.view_src == nullptr) {
    return asked.view_src == nullptr && made.view_src == nullptr;
  }
  if (const auto root = ours_.find(asked.view_src); root != ours_.end()) {
    return root->second == made.view_src && asked.view_offs == made.view_offs;
  }
  return std::any_of(std::begin(asked.src), std::end(asked.src), [&](const ggml_tensor* it) {
    const auto known = it == nullptr ? ours_.end() : ours_.find(it);
    return known != ours_.end() && known->second == made.view_src && it->view_src == asked.view_src &&
           asked.view_offs - it->view_offs == made.view_offs;
  });
}

// A matrix that is streamed has an address and no memory: products alone know where it is, and those by experts are
// looked after by who computes these, so that they may be of nothing else.
Status LayersPlanner::check_streamed(const ggml_tensor& made) const {
  for (int i = 0; i < GGML_MAX_SRC; ++i) {
    const ggml_tensor* it = made.src[i];
    const StreamedWeights* owner = it == nullptr ? nullptr : stream_owner(it);
    const StreamedTensor* streamed = owner == nullptr || it->view_src != nullptr ? nullptr : owner->find(it);
    const bool by_experts = made.op == GGML_OP_MUL_MAT_ID && i == 0;
    const bool product = (made.op == GGML_OP_MUL_MAT && i == 0 && made.op_params[1] == GGML_HINT_NONE) || by_experts;
    const bool fits = product && streamed != nullptr && streamed->expert == by_experts;
    if (owner != nullptr && !fits) {
      return refused(fmt::format("uses '{}' for something else than a product", printable(it->name)));
    }
    if (owner == nullptr && by_experts) {
      return refused("multiplies by experts that are none of the model's");
    }
  }
  return {};
}

Result<LayersPlan> LayersPlan::make(ggml_cgraph* graph, const WorkerWeights& weights, const PeerMemory& memory,
                                    uint32_t threads, uint32_t most_rows) {
  return LayersPlanner(weights, memory, threads, most_rows).plan(graph);
}

namespace {

// All of `from`, whose rows may have gaps between them, one behind the other.
void copy_rows(const ggml_tensor& from, std::byte* to) {
  const size_t row = ggml_row_size(from.type, from.ne[0]);
  for (int64_t i = 0; i < ggml_nrows(&from); ++i) {
    const int64_t rest = i / from.ne[1];
    std::memcpy(to + static_cast<size_t>(i) * row,
                static_cast<const std::byte*>(from.data) + static_cast<size_t>(i % from.ne[1]) * from.nb[1] +
                    static_cast<size_t>(rest % from.ne[2]) * from.nb[2] +
                    static_cast<size_t>(rest / from.ne[2]) * from.nb[3],
                row);
  }
}

}  // namespace

Status LayersPlan::read_indices() {
  for (const Indices& it : indices_) {
    const auto count = static_cast<size_t>(ggml_nelements(it.copy));
    if (count == 0) {
      continue;
    }
    copy_rows(*it.from, static_cast<std::byte*>(it.copy->data));
    const auto all_below = [&](const auto* numbers) {
      return std::all_of(numbers, numbers + count, [&](int64_t number) { return number >= 0 && number < it.below; });
    };
    const bool good = it.copy->type == GGML_TYPE_I32 ? all_below(static_cast<const int32_t*>(it.copy->data))
                                                     : all_below(static_cast<const int64_t*>(it.copy->data));
    if (!good) {
      return fail(ErrorCode::kUsage, "a layers' graph chooses a row of {} that there is not", it.below);
    }
  }
  return {};
}

}  // namespace hypura
