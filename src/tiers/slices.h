// What moves between disk and memory: one expert of a layer with all its matrices, or one dense matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace hypura {

// One matrix of a layer's experts.
struct ExpertPart {
  const TensorInfo* tensor = nullptr;
  uint64_t slice_bytes = 0;  // of one expert
  bool repacked = false;     // on disk it is repacked already, see backend/repacked_layout.h
};

// The experts of one layer, on disk.
struct ExpertLayer {
  int layer = 0;
  uint32_t experts = 0;
  std::vector<ExpertPart> parts;

  // Of one expert, all its matrices.
  uint64_t expert_bytes() const {
    uint64_t bytes = 0;
    for (const ExpertPart& part : parts) {
      bytes += part.slice_bytes;
    }
    return bytes;
  }
};

// A dense matrix that is pinned or passes through the ring.
struct DenseItem {
  const TensorInfo* tensor = nullptr;
  bool repacked = false;  // as ExpertPart
};

}  // namespace hypura
