#include "backend/gpu/device_memory.h"

#include <algorithm>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

ggml_context_ptr describe_tensors(size_t count) {
  return ggml_context_ptr(ggml_init({count * ggml_tensor_overhead(), nullptr, true}));
}

std::vector<ggml_tensor*> describe_matrices(ggml_context* context, const ExpertLayer& layer, uint32_t count,
                                            const std::string& name) {
  std::vector<ggml_tensor*> matrices;
  for (const ExpertPart& part : layer.parts) {
    const TensorInfo& tensor = *part.tensor;
    matrices.push_back(
        ggml_new_tensor_3d(context, static_cast<ggml_type>(tensor.type), tensor.shape[0], tensor.shape[1], count));
    ggml_set_name(matrices.back(), fmt::format("{} {}", name, tensor.name).substr(0, GGML_MAX_NAME - 1).c_str());
  }
  return matrices;
}

uint64_t bytes_in(ggml_backend_buffer_type_t type, std::span<ggml_tensor* const> tensors) {
  uint64_t bytes = 0;
  for (const ggml_tensor* tensor : tensors) {
    bytes += round_up(ggml_backend_buft_get_alloc_size(type, tensor), ggml_backend_buft_get_alignment(type));
  }
  return bytes;
}

Result<ggml_backend_buffer_ptr> allocate_on(ggml_backend_buffer_type_t type, uint64_t bytes, const std::string& what) {
  // The first tensor may begin behind the buffer's first byte.
  const uint64_t aligned = bytes + ggml_backend_buft_get_alignment(type);
  ggml_backend_buffer_ptr buffer(
      aligned <= ggml_backend_buft_get_max_size(type) ? ggml_backend_buft_alloc_buffer(type, aligned) : nullptr);
  if (buffer == nullptr) {
    return fail(ErrorCode::kBudget,
                "{}: {} could not be had of {}; let fewer of its experts have slots, or free some of the memory", what,
                format_bytes(bytes), ggml_backend_buft_name(type));
  }
  ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  ggml_backend_buffer_clear(buffer.get(), 0);
  return buffer;
}

Status place_in(ggml_backend_buffer_t buffer, std::span<ggml_tensor* const> tensors) {
  ggml_tallocr places = ggml_tallocr_new(buffer);
  for (ggml_tensor* tensor : tensors) {
    if (ggml_tallocr_alloc(&places, tensor) != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::kInternal, "ggml could not place '{}' in {}", tensor->name,
                  ggml_backend_buffer_name(buffer));
    }
  }
  return {};
}

ggml_backend_buffer_t buffer_of(const ggml_tensor& tensor) {
  return tensor.view_src != nullptr ? tensor.view_src->buffer : tensor.buffer;
}

void copy_expert(ggml_backend_t stream, const ggml_tensor& from, uint32_t from_place, ggml_tensor& to,
                 uint32_t to_place) {
  const auto one = [](const ggml_tensor& matrices, uint32_t place) {
    ggml_tensor matrix = matrices;
    matrix.ne[2] = 1;
    matrix.nb[3] = matrix.nb[2];
    matrix.data = static_cast<std::byte*>(matrices.data) + place * matrices.nb[2];
    return matrix;
  };
  const ggml_tensor source = one(from, from_place);
  ggml_tensor target = one(to, to_place);
  ggml_backend_tensor_copy_async(stream, stream, &source, &target);
}

Result<ggml_backend_buffer_ptr> allocate_pinned(ggml_backend_dev_t device, uint64_t bytes) {
  ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(device);
  ggml_backend_buffer_ptr buffer(
      ggml_backend_buft_alloc_buffer(type == nullptr ? ggml_backend_cpu_buffer_type() : type, bytes));
  if (buffer == nullptr) {
    return fail(ErrorCode::kBudget, "{} of pinned memory could not be had for {}", format_bytes(bytes),
                ggml_backend_dev_name(device));
  }
  return buffer;
}

}  // namespace hypura
