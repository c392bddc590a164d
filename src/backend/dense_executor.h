// Computes matrix products with dense weights that are pinned or pass through the ring.
#pragma once

#include <memory>
#include <vector>

#include "backend/inner_graph.h"
#include "backend/repack_buffer.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "residency/weight_ring.h"
#include "storage/reader.h"
#include "support/memory_region.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class DenseExecutor {
 public:
  // Allocates and fills the memory of the weights that stay, by item those that are true in `pinned`, and allocates the
  // ring (`ring_bytes`, unused and not allocated when everything stays). Weights are repacked in `repack` for passes of
  // many rows, or never when that is nullptr. Fails with kIo when a weight cannot be read.
  static Result<std::unique_ptr<DenseExecutor>> create(const StreamLayout& layout, Reader& reader, InnerGraph& inner,
                                                       StreamStats& stats, const std::vector<bool>& pinned,
                                                       uint64_t ring_bytes, RepackBuffer* repack);

  ~DenseExecutor();  // waits for the reads ahead
  DenseExecutor(const DenseExecutor&) = delete;
  DenseExecutor& operator=(const DenseExecutor&) = delete;

  // Adds `node`, a product with item `item`, to the inner graph; computes what is gathered there first when the weight
  // is still to be waited for. Fails with kIo when the weight could not be read.
  Status add(ggml_tensor* node, uint32_t item);

  // Computes what was gathered, frees the ring's places it used, and reads on.
  Status flush();

 private:
  DenseExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                RepackBuffer* repack);

  struct Ahead {
    uint32_t item = 0;
    uint64_t offset = 0;
    ReadGroup group = 0;  // 0 once waited for
  };

  Status read_pinned(const std::vector<bool>& pinned);
  ReadRequest request(uint32_t item, std::byte* place) const;
  void read_ahead();
  void stop_reading();
  Ahead* find_ahead(uint32_t item);
  bool repacks(const ggml_tensor& weight, const ggml_tensor& node, uint32_t item) const;
  Result<std::byte*> ring_data(uint32_t item);

  const StreamLayout& layout_;
  Reader& reader_;
  InnerGraph& inner_;
  StreamStats& stats_;
  RepackBuffer* repack_;
  MemoryRegion pinned_;
  std::vector<std::byte*> pinned_data_;  // by item: its data, or nullptr when it is streamed
  MemoryRegion memory_;                  // the ring's
  std::unique_ptr<WeightRing> ring_;     // over the streamed items; nullptr when there is none
  std::vector<uint32_t> ring_item_;      // by item: its number in the ring
  std::vector<uint32_t> item_of_;        // by number in the ring: the item
  std::vector<Ahead> ahead_;             // what the ring holds and is not retired, oldest first
  std::vector<uint32_t> in_use_;         // items of the ring that the gathered graph uses
};

}  // namespace hypura
