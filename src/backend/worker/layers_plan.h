// A graph of whole layers as a peer describes it (remote/protocol.h), checked and made again: what a worker computes is
// made of this alone.
//
// Nothing of the peer's graph is used but what it says: each of its tensors is read once, and stands for one of ours. A
// leaf is a weight of ours by its name, or bytes of a live buffer of the peer's; a node is made by ggml's own function
// of what stands for its sources (layers_node.h), and must come out as the peer has it: type, shape, strides,
// parameters, what it is a view of. So all that is read and written lies in our weights or in the peer's buffers.
// Whatever overlaps there gives the peer wrong numbers; only the numbers by which rows are chosen could lead elsewhere.
// Those that the peer has set are copied and looked at before anything is computed; those that a router of the graph
// chooses lie in memory of ours (layers_choices.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/worker/layers_choices.h"
#include "backend/worker/peer_memory.h"
#include "backend/worker/worker_weights.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "hypura/result.h"

namespace hypura {

class LayersPlan {
 public:
  // Checks all of `graph`. It is good until a buffer of the peer's is freed. `threads`: that it will be computed with;
  // `most_rows`: of which experts are computed. Fails with kUsage and a sentence that says what is not as
  // remote/protocol.h has it.
  static Result<LayersPlan> make(ggml_cgraph* graph, const WorkerWeights& weights, const PeerMemory& memory,
                                 uint32_t threads, uint32_t most_rows);

  // Copies the numbers by which rows are chosen. Before each computation. Fails with kUsage where there is no such row.
  Status read_indices();

  // To be computed by StreamedWeights::compute(), after read_indices().
  ggml_cgraph* graph() const { return graph_; }

  // Most rows that experts are chosen for in a layer; 0 of layers without.
  uint32_t routed_rows() const { return routed_rows_; }

 private:
  friend class LayersPlanner;

  // Numbers in the peer's memory.
  struct Indices {
    ggml_tensor* copy = nullptr;
    const ggml_tensor* from = nullptr;
    int64_t below = 0;  // all of them
  };

  std::vector<std::byte> memory_;      // of the tensors
  ggml_context_ptr context_;           // in it
  std::vector<std::byte> index_data_;  // of all copies
  std::vector<Indices> indices_;
  LayersChoices choices_;
  uint32_t routed_rows_ = 0;
  ggml_cgraph* graph_ = nullptr;
};

}  // namespace hypura
