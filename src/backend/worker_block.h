// An expert block as what a worker takes: the one shape of graph that remote/protocol.h describes.
#pragma once

#include <cstdint>

#include "backend/expert_block.h"
#include "backend/stream_layout.h"
#include "remote/worker_session.h"

namespace hypura {

// What the messages for all blocks of a model have to hold: of experts, or of feed-forward parts.
WorkerRoom worker_room(const StreamLayout& layout);

// Whether the block's rows can come from elsewhere: one result, computed from one row for each token.
bool has_worker_shape(const ExpertBlock& block);

// What has_worker_shape() blocks read: f32, a row for each token.
const ggml_tensor* block_input(const ExpertBlock& block);

// A number that is the same for blocks of a layer whose graphs for a worker are the same.
uint64_t worker_shape(const ExpertBlock& block);

// Of a block that has_worker_shape().
WorkerRows worker_rows(const ExpertBlock& block, const StreamLayout& layout);

// The same, for `most_pairs` rows.
WorkerBlock make_worker_block(const ExpertBlock& block, const StreamLayout& layout, uint32_t most_pairs);

}  // namespace hypura
