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
  double slower = 0;      // computing takes this share longer with it
  bool measured = false;  // the bytes are no estimate
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
