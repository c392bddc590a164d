// The feed-forward part of a dense layer as a run of graph nodes: its matrices' products and what lies between.
//
// It is computed as a whole: all rows of the pass at once, since some of ggml's kernels depend on how many there are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/streamed_weights.h"
#include "backend/worker_layers.h"
#include "ggml.h"
#include "remote/worker_session.h"

namespace hypura {

struct FfnBlock {
  uint32_t layer = 0;                  // index into worker_layers()
  const ggml_tensor* input = nullptr;  // f32 [width, rows]
  std::vector<ggml_tensor*> nodes;     // the last is the result: nothing else uses the others
  int end = 0;                         // index in the graph of the first node after the block

  int64_t rows() const { return input->ne[1]; }
  ggml_tensor* result() const { return nodes.back(); }
};

// The layer whose feed-forward part has the matrix; none: it is of no such part.
std::optional<uint32_t> ffn_layer_of(const StreamedTensor& matrix, std::span<const WorkerLayer> layers);

// The block that starts with the product with a dense streamed matrix at graph node `start`; none where the nodes from
// there on are not a layer's whole feed-forward part, or do something that a worker does not.
std::optional<FfnBlock> parse_ffn_block(const ggml_cgraph* graph, int start, const StreamedWeights& weights,
                                        std::span<const WorkerLayer> layers);

// A number that is the same for blocks of a layer whose graphs for a worker are the same.
uint64_t ffn_shape(const FfnBlock& block);

// What is asked of a worker for it, and as the graph that remote/protocol.h describes.
WorkerRows ffn_rows(const FfnBlock& block);
WorkerBlock make_ffn_worker_block(const FfnBlock& block, uint32_t most_pairs);

}  // namespace hypura
