// What experts take in a device's memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/stream_layout.h"

namespace hypura {

// Slots for n experts of a layer take at most n * expert_bytes + layer_bytes, and so does the staging of a whole layer.
struct DeviceSizes {
  uint64_t expert_bytes = 0;
  uint64_t layer_bytes = 0;  // alignment, and what kernels read past the end
};

// On gpu_by_name(device), which must be there. Any thread.
DeviceSizes device_sizes(const std::string& device, const ExpertLayer& layer);

// By layer with experts: whether its slots may borrow places on that device, with a budget of so many bytes
// (slot_pool.h). Any thread.
std::vector<bool> layers_that_borrow(const std::string& device, const StreamLayout& layout, uint64_t budget);

// Bytes that GpuExecutor and DevicePredictor take for the numbers of slots and for predictions, in the device's memory
// and in RAM, for passes of `max_rows` tokens that take `used` experts each.
struct IdBytes {
  uint64_t on_device = 0;
  uint64_t in_ram = 0;
};
IdBytes id_bytes(const StreamLayout& layout, uint32_t used, uint32_t max_rows, bool stages);

}  // namespace hypura
