// Fills weights that ggml has placed (placed_weights.h) from the model's files, on several threads: while some pieces
// are laid out, the next are being read.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ggml.h"
#include "hypura/result.h"
#include "model/model.h"
#include "storage/reader.h"

namespace hypura {

struct UnfilledWeight {
  ggml_tensor* tensor = nullptr;
  Extent extent;  // as many bytes as the tensor has in a file
};

// Of memory for pieces, but for some pages.
inline constexpr uint64_t kFillingBytes = 32ULL << 20;

// Fills them in the order of their extents. Their memory is touched for the first time by these threads, in large
// steps. `progress` gets a share of 0..1 on the calling thread. Fails with kIo as Reader::wait, with kBudget where
// there is no memory for pieces; the weights are then of no use.
Status fill_weights(std::vector<UnfilledWeight> weights, Reader& reader, uint32_t threads,
                    const std::function<void(double)>& progress);

}  // namespace hypura
