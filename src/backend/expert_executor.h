// Computes the expert block of a layer from slots: what is resident at once, what is missing as it lands.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/expert_block.h"
#include "backend/inner_graph.h"
#include "backend/memory_region.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "residency/expert_cache.h"
#include "storage/reader.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class ExpertExecutor {
 public:
  // From this many rows on an expert is computed in a call of its own: ggml's IQ kernels switch to another algorithm
  // there (GGML_IQP_MIN_BATCH_ID), and only for a matrix that is contiguous, which one slot is and several are not.
  static constexpr uint32_t kOwnCallRows = 8;

  // Allocates `slots` slots, of which `spare` are kept free, and buffers for `max_rows` rows.
  static Result<std::unique_ptr<ExpertExecutor>> create(const StreamLayout& layout, Reader& reader, InnerGraph& inner,
                                                        StreamStats& stats, uint32_t slots, uint32_t spare,
                                                        uint32_t max_rows);

  // Bytes of buffers for gathered rows and their results, for each row of the block.
  static uint64_t row_bytes(const StreamLayout& layout);

  // Computes the block. Fails with kIo when a read fails, with kInternal when the router chose an expert that is not
  // there or ggml refused. After a failure the cache is consistent and the block's results are undefined.
  Status run(const ExpertBlock& block);

 private:
  // An expert the block needs, with the pairs (token * used + position) that chose it.
  struct Demand {
    uint32_t expert = 0;
    uint32_t slot = 0;
    ReadGroup group = 0;
    std::vector<uint32_t> pairs;
  };

  ExpertExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                 const ExpertCache::Config& config);

  Status collect(const ExpertBlock& block);
  Status keep_inputs(const ExpertBlock& block);
  std::byte* kept(const ggml_tensor* source) const;
  tl::unexpected<Error> too_many_rows(const ExpertBlock& block) const;
  void look_up(const ExpertBlock& block);
  void issue_reads(const ExpertBlock& block);
  Status land(const ExpertBlock& block, Demand& demand);
  Status compute_hits(const ExpertBlock& block);
  Status compute_misses(const ExpertBlock& block);
  void settle(const ExpertBlock& block);
  void drain(const ExpertBlock& block);

  template <class Ready>
  size_t batch_end(const std::vector<Demand*>& demands, size_t begin, size_t end, Ready ready) const;
  Status compute(const ExpertBlock& block, std::span<Demand* const> batch);
  Status compute_whole(const ExpertBlock& block);
  ggml_tensor* weight_twin(const ExpertBlock& block, const StreamedTensor& weight, uint32_t first, uint32_t last);
  ggml_tensor* compact_source(const ExpertBlock& block, const std::vector<ggml_tensor*>& twins, ggml_tensor* source);
  ggml_tensor* gather(const ExpertBlock& block, const ggml_tensor* source);
  std::byte* take_rows(uint64_t bytes);
  std::byte* slot_data(uint32_t slot) const { return slots_.data() + slot * layout_.slot_stride; }

  const StreamLayout& layout_;
  Reader& reader_;
  InnerGraph& inner_;
  StreamStats& stats_;
  ExpertCache cache_;
  MemoryRegion slots_;
  MemoryRegion rows_;
  uint64_t rows_used_ = 0;
  uint64_t kept_end_ = 0;  // of rows_: the kept inputs lie before it, a batch's rows behind
  uint32_t max_rows_ = 0;

  // Of the block in work; members so that their memory is reused.
  std::vector<Demand> demands_;  // by expert; empty pairs: not chosen
  std::vector<Demand*> hits_;
  std::vector<Demand*> misses_;
  size_t next_miss_ = 0;  // first miss not yet issued
  std::vector<std::pair<const ggml_tensor*, std::byte*>> kept_;
  std::vector<uint32_t> batch_pairs_;
  std::vector<int32_t> slot_ids_;
  std::vector<int32_t> expert_ids_;
};

}  // namespace hypura
