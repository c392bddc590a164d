// What a placement problem and that of its GPU are both made of. Sizes in bytes, times in seconds.
#pragma once

#include <cstdint>

#include "hypura/placement.h"

namespace hypura {

// What computing costs for a pass of n tokens: `first` for one, `more` for each further.
struct PassSeconds {
  double first = 0;
  double more = 0;

  double of(double tokens) const { return first + (tokens - 1) * more; }
  PassSeconds& operator+=(const PassSeconds& other) {
    first += other.first;
    more += other.more;
    return *this;
  }
};

struct KvChoice {
  KvType type = KvType::kF16;
  uint64_t bytes = 0;
  double slower = 0;          // computing takes this share longer with it
  bool measured = false;      // the bytes are no estimates
  uint64_t device_bytes = 0;  // in a GPU's memory, where it computes some layers; `bytes` are then those in RAM
};

// What a GPU has of a model whose last layers it computes: the rest of the problem is the processors' part.
struct GpuSplitPart {
  uint32_t layers = 0;        // so many, the output being one of them: llama.cpp's --n-gpu-layers
  uint32_t all = 0;           // of the model, with the output
  uint64_t budget = 0;        // of the device's memory
  bool in_ram = false;        // which is a part of RAM's
  uint64_t weights = 0;       // there
  uint64_t host_weights = 0;  // of the processors' layers
  PassSeconds on_gpu;         // its layers
  PassSeconds off_cpu;        // the processors' layers, computed by it
  uint32_t offload_from = 0;  // passes of so many tokens are its in all layers; 0: none are
  // Of weights to the GPU for such passes.
  double upload_bytes_per_second = 1;
  double handover = 0;   // what handing a pass from one side to the other takes, where both compute
  double attention = 0;  // as PlacementProblem::attention, in its layers
};

struct UbatchChoice {
  uint32_t tokens = 0;        // of the largest pass
  uint64_t bytes = 0;         // compute buffers
  uint64_t expert_bytes = 0;  // row buffers, the cache's books and repack buffer besides, when experts are streamed
  uint64_t dense_bytes = 0;   // more repack buffer besides, when dense weights are streamed
  uint64_t device_bytes = 0;  // compute buffers in a GPU's memory, where it computes; `bytes` are then those in RAM
  bool measured = false;      // `bytes` and `device_bytes` are no estimates
};

}  // namespace hypura
