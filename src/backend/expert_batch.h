// Computes an expert block for some of its pairs, whose experts are in slots.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/expert_block.h"
#include "backend/inner_graph.h"
#include "backend/repack_buffer.h"
#include "backend/stream_layout.h"
#include "support/memory/memory_region.h"
#include "tiers/expert_store.h"

namespace hypura {

// An expert in a slot, and the pairs (token * used + position) that chose it.
struct ChosenExpert {
  uint32_t expert = 0;
  uint32_t slot = 0;
  std::span<const uint32_t> pairs;
};

// Not thread-safe: the owner serialises. The references must outlive the object.
class ExpertBatch {
 public:
  // From this many rows on an expert of such types that ggml has other kernels for then is computed in a call of its
  // own: its IQ kernels switch to another algorithm there (GGML_IQP_MIN_BATCH_ID), and only for a matrix that is
  // contiguous, which one slot is and several are not.
  static constexpr uint32_t kOwnCallRows = 8;

  // Rows of several experts that are computed in one call, at most: it takes some milliseconds, in which nobody looks
  // after reads, and ggml's memory for it, which no budget knows, grows with rows times slots.
  static constexpr uint32_t kRowsTogether = 64;

  // `store` says where the slots lie. Allocates buffers for `max_rows` rows; fails with kBudget. An expert that is
  // computed alone is repacked in `repack` where that pays; nullptr: never.
  static Result<std::unique_ptr<ExpertBatch>> create(const StreamLayout& layout, const ExpertStore& store,
                                                     InnerGraph& inner, uint32_t max_rows, RepackBuffer* repack);

  // Rows from which on an expert of the layer is computed in a call of its own, whatever is cached: the bits may be
  // others than in one with several. With fewer they are the same.
  uint32_t own_call_rows(uint32_t layer) const { return own_call_rows_[layer]; }

  // The layout says something else of what is repacked.
  void follow_layout();

  // Bytes of those buffers, for each row.
  static uint64_t row_bytes(const StreamLayout& layout);

  // Copies the block's inputs into memory of our own. Call before the first compute() of a block: in llama.cpp's plan
  // the inputs' memory is free once gate and up are done, so that results may lie there, and ours are scattered before
  // the last gate and up are computed.
  Status keep_inputs(const ExpertBlock& block);

  // Computes the block for the pairs of `chosen`, at most max_rows of them, in memory of our own, and scatters what is
  // used outside the block.
  Status compute(const ExpertBlock& block, std::span<const ChosenExpert> chosen);

  // Computes the whole block in place, without copies: `chosen` has all its pairs, and each token a row of its own.
  Status compute_whole(const ExpertBlock& block, std::span<const ChosenExpert> chosen);

 private:
  using Views = std::vector<ggml_tensor*>;  // one for each node of the block so far

  ExpertBatch(const StreamLayout& layout, const ExpertStore& store, InnerGraph& inner, RepackBuffer* repack);

  void take_pairs(std::span<const ChosenExpert> chosen);
  void find_slot_range(std::span<const ChosenExpert> chosen);
  ggml_tensor* row_view(const ExpertBlock& block, const BlockNode& it, const Views& views, ggml_tensor* slot_ids);
  void add(const ExpertBlock& block, const BlockNode& it, ggml_tensor* view, bool alone);
  ggml_tensor* weight_view(const ExpertBlock& block, const BlockNode& it);
  ggml_tensor* compact(const ExpertBlock& block, const Views& views, ggml_tensor* source);
  ggml_tensor* gather(const ExpertBlock& block, const ggml_tensor* source);
  void scatter(const ExpertBlock& block, const ggml_tensor* node, const ggml_tensor* view) const;
  std::byte* kept(const ggml_tensor* source) const;
  std::byte* take_rows(uint64_t bytes);
  Status run(const ExpertBlock& block);
  tl::unexpected<Error> too_many_rows(const ExpertBlock& block) const;

  const StreamLayout& layout_;
  const ExpertStore& store_;
  InnerGraph& inner_;
  RepackBuffer* repack_;
  std::vector<uint32_t> own_call_rows_;  // by layer
  MemoryRegion rows_;
  uint64_t rows_used_ = 0;
  uint64_t kept_end_ = 0;  // of rows_: the kept inputs lie before it, a batch's rows behind

  std::vector<std::pair<const ggml_tensor*, std::byte*>> kept_;
  std::pair<const ggml_tensor*, ggml_tensor*> gathered_;  // the batch's rows of this input; gate and up share them
  uint32_t first_slot_ = 0;                               // of the batch: the weights' views begin here
  uint32_t last_slot_ = 0;
  std::vector<uint32_t> pairs_;
  std::vector<int32_t> slot_ids_;
  std::vector<int32_t> expert_ids_;
};

}  // namespace hypura
