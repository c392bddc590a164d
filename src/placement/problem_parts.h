// What a placement problem and that of its GPU are both made of. Sizes in bytes, times in seconds.
#pragma once

#include <cstdint>
#include <vector>

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
  uint64_t device_bytes = 0;  // in GPUs' memory, where they compute some layers; `bytes` are then those in RAM
};

// One of the GPUs that have a model's last layers.
struct GpuSplitShare {
  uint32_t layers = 0;       // so many, that follow those of the one before, the output being the last; 0: it has none
  uint64_t budget = 0;       // of its memory
  uint64_t weights = 0;      // there
  double kv_share = 0;       // of KvChoice::device_bytes,
  double compute_share = 0;  // and of UbatchChoice::device_bytes
};

// What GPUs have of a model whose last layers they compute: the rest of the problem is the processors' part.
struct GpuSplitPart {
  uint32_t layers = 0;                 // so many, the output being one of them: llama.cpp's --n-gpu-layers
  uint32_t all = 0;                    // of the model, with the output
  std::vector<GpuSplitShare> devices;  // at least one, in the order of the layers
  bool in_ram = false;                 // the one device's memory is a part of RAM
  bool remote = false;                 // they are workers, whose memory is no budget of this machine
  uint64_t host_weights = 0;           // of the processors' layers
  PassSeconds on_gpu;                  // the GPUs' layers, and handing a pass from one to the next
  PassSeconds off_cpu;                 // the processors' layers, computed by the first of them
  uint32_t offload_from = 0;           // passes of so many tokens are its in all layers; 0: none are
  // Of weights to that GPU for such passes.
  double upload_bytes_per_second = 1;
  double handover = 0;   // what handing a pass from the processors to it takes, where both compute
  double attention = 0;  // as PlacementProblem::attention, in the GPUs' layers

  uint64_t weights() const {
    uint64_t bytes = 0;
    for (const GpuSplitShare& it : devices) {
      bytes += it.weights;
    }
    return bytes;
  }
};

struct UbatchChoice {
  uint32_t tokens = 0;        // of the largest pass
  uint64_t bytes = 0;         // compute buffers
  uint64_t expert_bytes = 0;  // row buffers, the cache's books and repack buffer besides, when experts are streamed
  uint64_t dense_bytes = 0;   // more repack buffer besides, when dense weights are streamed
  uint64_t device_bytes = 0;  // compute buffers in GPUs' memory, where they compute; `bytes` are then those in RAM
  bool measured = false;      // `bytes` and `device_bytes` are no estimates
  // More in RAM where the processors compute some layers beside GPUs with slots: compute buffers, and row buffers.
  uint64_t host_bytes = 0;
  uint64_t host_expert_bytes = 0;
};

}  // namespace hypura
