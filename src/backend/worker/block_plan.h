// A layer's block as a peer describes it (remote/protocol.h), checked: what a worker computes is made from this alone.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/worker/peer_memory.h"
#include "backend/worker/worker_weights.h"
#include "ggml.h"
#include "hypura/result.h"

namespace hypura {

// What a node computes with.
struct PlannedSource {
  static constexpr uint32_t kAsk = UINT32_MAX;

  uint32_t node = kAsk;  // an earlier node; kAsk: rows of the ask
  uint64_t offset = 0;   // of each of its rows, from this byte on
  int64_t width = 0;     // so many numbers
};

struct PlannedNode {
  ggml_op op = GGML_OP_NONE;
  std::array<int32_t, GGML_MAX_OP_PARAMS / sizeof(int32_t)> params = {};
  int64_t width = 0;
  ggml_tensor* weight = nullptr;  // of MUL_MAT_ID and MUL_MAT; the bias of ADD_ID
  std::array<PlannedSource, 2> sources;
  uint32_t source_count = 0;
};

struct BlockPlan {
  uint32_t layer = 0;       // as WorkerWeights::layers() counts them
  uint32_t most_pairs = 0;  // R
  int64_t ask_width = 0;
  std::vector<PlannedNode> nodes;  // each node's sources before it
  int64_t width_sum = 0;           // of all nodes
  std::span<std::byte> ask;        // in memory of the peer's
  std::span<std::byte> reply;
};

// Most of BlockPlan::width_sum: four times what the widest layer's matrices give, of a dense one twice, which is more
// than any model has.
int64_t most_width(const std::vector<WorkerLayer>& layers);

// Checks all of `graph`, which a peer has sent: what it is made of, shapes, sizes, types, sources, and that the memory
// it names is the peer's. Nothing in it is trusted but that its pointers are null or tensors. `most_pairs`: of R. Fails
// with kUsage and a sentence that says what is not as remote/protocol.h has it.
Result<BlockPlan> plan_block(ggml_cgraph* graph, const WorkerWeights& weights, const PeerMemory& memory,
                             uint32_t most_pairs);

}  // namespace hypura
