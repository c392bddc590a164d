#include "backend/gpu/expert_room.h"

#include "backend/gpu/device_memory.h"
#include "backend/gpu/devices/gpu_list.h"
#include "support/fail.h"
#include "support/units.h"
#include "tiers/slot_layout.h"

namespace hypura {

uint64_t ExpertRoom::bytes_for(ggml_backend_dev_t device, const ExpertLayer& layer,
                               std::span<ggml_tensor* const> matrices) {
  if (computes_in_ram(device)) {
    return static_cast<uint64_t>(matrices.front()->ne[2]) * SlotLayout({&layer, 1}).stride();
  }
  return bytes_in(ggml_backend_dev_buffer_type(device), matrices);
}

Result<ExpertRoom> ExpertRoom::create(ggml_backend_dev_t device, uint64_t bytes, const std::string& what) {
  ExpertRoom room;
  if (!computes_in_ram(device)) {
    auto buffer = allocate_on(ggml_backend_dev_buffer_type(device), bytes, what);
    if (!buffer) {
      return propagate(buffer.error());
    }
    room.buffer_ = std::move(*buffer);
    return room;
  }
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), what);
  }
  room.own_ = std::move(*memory);
  const std::span<std::byte> all = room.own_.span();
  room.buffer_.reset(ggml_backend_dev_buffer_from_host_ptr(device, all.data(), all.size(), all.size()));
  if (room.buffer_ == nullptr) {
    return fail(ErrorCode::kBudget, "{}: {} does not compute in {} of the machine's memory; give --vram less", what,
                ggml_backend_dev_name(device), format_bytes(bytes));
  }
  ggml_backend_buffer_set_usage(room.buffer_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  return room;
}

Status ExpertRoom::place(const ExpertLayer& layer, std::span<ggml_tensor* const> matrices) const {
  if (own_.data() == nullptr) {
    return place_in(buffer_.get(), matrices);
  }
  const SlotLayout layout({&layer, 1});
  for (size_t part = 0; part < matrices.size(); ++part) {
    ggml_tensor* matrix = matrices[part];
    matrix->nb[2] = layout.stride();
    matrix->nb[3] = matrix->nb[2] * static_cast<size_t>(matrix->ne[2]);
    const SlotPlace& place = layout.places(0)[part];
    std::byte* begin = own_.data() + place.begin + place.data_offset;
    if (place.data_offset % ggml_backend_buffer_get_alignment(buffer_.get()) != 0) {
      return fail(ErrorCode::kUsage, "'{}' begins at no multiple of {} bytes in its file, as {} wants: give --gpu none",
                  matrix->name, ggml_backend_buffer_get_alignment(buffer_.get()),
                  ggml_backend_buffer_name(buffer_.get()));
    }
    if (ggml_backend_tensor_alloc(buffer_.get(), matrix, begin) != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::kInternal, "ggml could not place '{}' in the machine's memory", matrix->name);
    }
  }
  return {};
}

}  // namespace hypura
