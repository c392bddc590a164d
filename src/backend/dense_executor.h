// Computes matrix products with dense weights that are pinned or pass through the ring, a large one range by range of
// its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/inner_graph.h"
#include "backend/repack_buffer.h"
#include "backend/stream_layout.h"
#include "tiers/dense_store.h"

namespace hypura {

struct StreamedTensor;

// Not thread-safe: the owner serialises. The references must outlive the object.
class DenseExecutor {
 public:
  // Weights are repacked in `repack` for passes of many rows, or never when that is nullptr.
  DenseExecutor(const StreamLayout& layout, DenseStore& store, InnerGraph& inner, RepackBuffer* repack)
      : layout_(layout), store_(store), inner_(inner), repack_(repack) {}

  // Adds `node`, a product with `matrix`, to the inner graph; computes what is gathered there first when some of the
  // weight is still to be waited for. Fails with kIo when the weight could not be read; what is gathered is then
  // discarded.
  Status add(ggml_tensor* node, const StreamedTensor& matrix);

  // Copies bytes of `matrix` from `offset` on, for another device to compute with, after what was gathered. Fails as
  // add().
  Status copy(const StreamedTensor& matrix, uint64_t offset, std::span<std::byte> to);

  // Whether some of `node`, a product with `matrix`, is computed repacked.
  bool repacks(const ggml_tensor& node, const StreamedTensor& matrix) const;

  // The data of a row of `matrix`, where that is pinned, else nullptr. Of one that is not repacked.
  const std::byte* pinned_row(const StreamedTensor& matrix, int64_t row) const;

  // Computes what was gathered, and releases its weights.
  Status flush();

 private:
  Status add_range(ggml_tensor* node, uint32_t item);
  bool repacks_range(const ggml_tensor& weight, const ggml_tensor& node, uint32_t item) const;

  const StreamLayout& layout_;
  DenseStore& store_;
  InnerGraph& inner_;
  RepackBuffer* repack_;
};

}  // namespace hypura
