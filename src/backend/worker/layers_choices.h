// The choices of routers in a graph of whole layers (layers_plan.h): which experts a row is computed by.
//
// A router's choice is computed by the graph itself, between what it is made of and what it chooses, so that nobody can
// look at it in between. So it lies in memory of ours, where no other node writes: whatever the scores are, ARGSORT
// writes there each number below a bound once, as long as all scores can be compared. Those that cannot (NaN) are made
// comparable before: with them the sort would read beyond its row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ggml.h"

namespace hypura {

// Neither the nodes nor the memory may outlive it.
class LayersChoices {
 public:
  // Of all choices of a graph, at most.
  static constexpr uint64_t kMostBytes = uint64_t{16} << 20;

  // Finds those of the peer's `graph` by which its nodes choose rows. None of these is nullptr, and each has an
  // operation of ggml's.
  void find(ggml_cgraph* graph);

  // Nodes that make() may add to a graph.
  size_t most_nodes() const { return sorts_; }

  // Whether nodes choose rows by this node of the peer's, a sort.
  bool wanted(const ggml_tensor* asked) const { return wanted_.contains(asked); }

  // `made` is a sort of ours, of rows that lie evenly apart, to be added to `graph` next: what it sorts can be compared
  // from now on. False where that takes more memory than a graph may have.
  bool make_comparable(ggml_context* ctx, ggml_cgraph* graph, ggml_tensor& made);

  // Gives it memory of ours. Layers take turns with that. False as above.
  bool place(ggml_tensor& made);

  // Whether `ours` is one that place() was called for, or a view of one.
  bool has(const ggml_tensor* ours) const { return turn_.contains(root(ours)); }

  // What the numbers of such a tensor are below; none where another layer's choice has taken its memory.
  std::optional<int64_t> below(const ggml_tensor* ours) const;

 private:
  struct Memory {
    std::unique_ptr<std::byte[]> bytes;
    uint64_t size = 0;
    uint64_t turns = 0;
  };

  static const ggml_tensor* root(const ggml_tensor* tensor) {
    return tensor->view_src == nullptr ? tensor : tensor->view_src;
  }
  std::byte* take(Memory& memory, uint64_t size);

  std::unordered_set<const ggml_tensor*> wanted_;
  size_t sorts_ = 0;
  Memory scores_;                                          // that can be compared
  std::map<int64_t, Memory> memory_;                       // of choices, by their bound
  std::unordered_map<const ggml_tensor*, uint64_t> turn_;  // of each with memory of ours
  std::vector<std::unique_ptr<std::byte[]>> outgrown_;     // that nodes before use
  uint64_t bytes_ = 0;
};

}  // namespace hypura
