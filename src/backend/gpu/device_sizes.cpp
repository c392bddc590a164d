#include "backend/gpu/device_sizes.h"

#include <algorithm>

#include "backend/gpu/device_memory.h"
#include "backend/gpu/devices/gpu_list.h"
#include "backend/gpu/gpu_executor.h"
#include "backend/gpu/prefetch/device_predictor.h"
#include "backend/gpu/slot_pool.h"
#include "backend/gpu/slot_seeds.h"
#include "support/memory/huge_pages.h"
#include "tiers/slot_layout.h"

namespace hypura {

DeviceSizes device_sizes(const std::string& device, const ExpertLayer& layer) {
  ggml_backend_dev_t its_device = gpu_by_name(device);
  DeviceSizes sizes;
  if (computes_in_ram(its_device)) {
    return {SlotLayout({&layer, 1}).stride(), kHugePage};
  }
  ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(its_device);
  for (const ExpertPart& part : layer.parts) {
    sizes.expert_bytes += part.slice_bytes;
  }
  // How much is added depends on where the last row ends: that is the same for all numbers but for the alignment.
  const ggml_context_ptr context = describe_tensors(2 * layer.parts.size());
  const uint64_t alignment = ggml_backend_buft_get_alignment(type);
  for (const uint32_t count : {1U, layer.experts}) {
    const uint64_t bytes = bytes_in(type, describe_matrices(context.get(), layer, count, "sizes of"));
    sizes.layer_bytes = std::max(sizes.layer_bytes, bytes - std::min(bytes, count * sizes.expert_bytes));
  }
  sizes.layer_bytes += (layer.parts.size() + 1) * alignment;  // and before the first tensor
  return sizes;
}

std::vector<bool> layers_that_borrow(const std::string& device, const StreamLayout& layout, uint64_t budget) {
  uint64_t experts = 0;
  uint64_t most_bytes = 1;
  for (const ExpertLayer& layer : layout.expert_layers) {
    experts += layer.experts;
    most_bytes = std::max(most_bytes, layer.expert_bytes());
  }
  return pooled_layers(gpu_by_name(device), layout.expert_layers, std::min(experts, budget / most_bytes));
}

IdBytes id_bytes(const StreamLayout& layout, uint32_t used, uint32_t max_rows, bool stages) {
  const GpuExecutor::IdCounts counts = GpuExecutor::id_counts(layout, used, max_rows, stages);
  const uint64_t each = counts.ids * sizeof(int32_t);
  constexpr uint64_t kAlignment = 256;  // of a tensor on a device, at most
  const uint64_t all = layout.expert_layers.size() * each;
  const uint64_t seeds = stages ? 2 * SlotSeeds::kTokens * layout.experts * sizeof(int32_t) : 0;
  const DevicePredictor::Bytes predictor = DevicePredictor::bytes_for(layout);
  return {all + layout.expert_layers.size() * kAlignment + predictor.on_device,
          all + counts.fetched_bytes + seeds + predictor.in_ram};
}

}  // namespace hypura
