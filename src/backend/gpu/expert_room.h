// Memory that a device computes with experts in: its own, where a layer's matrices lie one after another; or the
// machine's, where the device computes in that. There they lie as direct reads leave them, expert by expert, so that a
// slot of RAM is a slot of the device.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "ggml-cpp.h"
#include "hypura/result.h"
#include "support/memory/memory_region.h"
#include "tiers/slices.h"

namespace hypura {

class ExpertRoom {
 public:
  ExpertRoom() = default;

  // Bytes for `matrices`, of one number of experts of `layer`.
  static uint64_t bytes_for(ggml_backend_dev_t device, const ExpertLayer& layer,
                            std::span<ggml_tensor* const> matrices);

  // `what` is named when it fails, with kBudget.
  static Result<ExpertRoom> create(ggml_backend_dev_t device, uint64_t bytes, const std::string& what);

  // Gives matrices of `layer`'s experts their places, from the beginning on: those of several layers may, in turn.
  // Fails with kInternal, with kUsage for a matrix that lies on disk so that the device could not compute with it.
  Status place(const ExpertLayer& layer, std::span<ggml_tensor* const> matrices) const;

 private:
  MemoryRegion own_;  // empty: the device's
  ggml_backend_buffer_ptr buffer_;
};

}  // namespace hypura
