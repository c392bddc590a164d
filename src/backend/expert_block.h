// The expert part of one layer as a run of graph nodes: gate, up, activation, down, and what lies between, all on the
// same choice of experts.
//
// All its nodes work on rows: one row for each pair of a token and one of its experts. So the block can be computed for
// some pairs only, in memory of our own, and the last results scattered to where the graph wants them. Each row is
// computed by the same kernel from the same numbers whichever rows are computed with it, hence the same bits.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/streamed_weights.h"
#include "ggml.h"

namespace hypura {

struct BlockNode {
  ggml_tensor* node = nullptr;
  const StreamedTensor* weight = nullptr;  // of a streamed matrix product; nullptr for a row operation
  bool scatter = false;                    // used outside the block: its rows must reach the node's own memory
};

struct ExpertBlock {
  uint32_t layer = 0;                // index into StreamLayout::expert_layers
  const ggml_tensor* ids = nullptr;  // i32 [experts used, tokens]
  std::vector<BlockNode> nodes;
  int end = 0;  // index in the graph of the first node after the block
  // By token: which row of the block's inputs is its. nullptr: each has its own, in their order.
  const uint32_t* input_rows = nullptr;

  int64_t used() const { return ids->ne[0]; }
  int64_t tokens() const { return ids->ne[1]; }
};

// The block that starts with the streamed MUL_MAT_ID at graph node `start`: it, and the nodes after it as long as each
// is a streamed MUL_MAT_ID with the same ids, a row operation on the block's results, or a view. Nodes that need not be
// computed are passed over.
ExpertBlock parse_expert_block(const ggml_cgraph* graph, int start, const StreamedWeights& weights);

// The block's own result that `source` is or views; nullptr when it comes from outside.
const ggml_tensor* block_result(const ExpertBlock& block, const ggml_tensor* source);

}  // namespace hypura
