#include "backend/worker/layers_choices.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/worker/layers_node.h"

namespace hypura {

namespace {

void without_nan(ggml_tensor* to, const ggml_tensor* from, int ith, int nth, void* /*userdata*/) {
  const auto width = static_cast<size_t>(from->ne[0]);
  for (int64_t row = ith; row < ggml_nrows(from); row += nth) {
    const auto* scores = reinterpret_cast<const float*>(static_cast<const std::byte*>(from->data) +
                                                        static_cast<size_t>(row) * from->nb[1]);
    auto* comparable =
        reinterpret_cast<float*>(static_cast<std::byte*>(to->data) + static_cast<size_t>(row) * to->nb[1]);
    std::transform(scores, scores + width, comparable,
                   [](float it) { return std::isnan(it) ? -std::numeric_limits<float>::infinity() : it; });
  }
}

}  // namespace

void LayersChoices::find(ggml_cgraph* graph) {
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    sorts_ += node->op == GGML_OP_ARGSORT ? 1 : 0;
    const ChosenRows chosen = chosen_rows(node->op);
    const ggml_tensor* indices = chosen.indices < 0 ? nullptr : node->src[chosen.indices];
    if (indices != nullptr) {
      wanted_.insert(root(indices));
    }
  }
}

// What was there before stays as long as all of this: nodes use it.
std::byte* LayersChoices::take(Memory& memory, uint64_t size) {
  if (memory.bytes == nullptr || size > memory.size) {
    if (size > kMostBytes - bytes_) {
      return nullptr;
    }
    bytes_ += size;
    if (memory.bytes != nullptr) {
      outgrown_.push_back(std::move(memory.bytes));
    }
    memory.bytes = std::make_unique<std::byte[]>(size);  // zeros, which are below every bound
    memory.size = size;
  }
  return memory.bytes.get();
}

bool LayersChoices::make_comparable(ggml_context* ctx, ggml_cgraph* graph, ggml_tensor& made) {
  ggml_tensor* scores = ggml_map_custom1(ctx, made.src[0], without_nan, GGML_N_TASKS_MAX, nullptr);
  scores->data = take(scores_, ggml_nbytes(scores));
  if (scores->data == nullptr) {
    return false;
  }
  scores->flags = made.flags;
  made.src[0] = scores;
  ggml_graph_add_node(graph, scores);
  return true;
}

bool LayersChoices::place(ggml_tensor& made) {
  Memory& memory = memory_[made.ne[0]];
  made.data = take(memory, ggml_nbytes(&made));
  turn_[&made] = ++memory.turns;
  return made.data != nullptr;
}

std::optional<int64_t> LayersChoices::below(const ggml_tensor* ours) const {
  const ggml_tensor* choice = root(ours);
  const auto its = turn_.find(choice);
  if (its == turn_.end() || memory_.at(choice->ne[0]).turns != its->second) {
    return std::nullopt;
  }
  return choice->ne[0];
}

}  // namespace hypura
