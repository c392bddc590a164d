#include "backend/loading/own_layouts.h"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>

namespace hypura {

namespace {

using BufferPtr = std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)>;

}  // namespace

std::vector<ggml_backend_buffer_type_t> own_layouts() {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_reg_t registry = cpu == nullptr ? nullptr : ggml_backend_dev_backend_reg(cpu);
  const auto extra = registry == nullptr
                         ? nullptr
                         : reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
                               ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts"));
  std::vector<ggml_backend_buffer_type_t> all;
  for (ggml_backend_buffer_type_t* type = extra == nullptr ? nullptr : extra(cpu); type != nullptr && *type != nullptr;
       ++type) {
    all.push_back(*type);
  }
  return all;
}

bool multiplies(ggml_backend_buffer_type_t type, ggml_tensor matrix) {
  constexpr int64_t kRows = 512;  // what the loader asks for
  const BufferPtr buffer(ggml_backend_buft_alloc_buffer(type, 0), ggml_backend_buffer_free);
  matrix.buffer = buffer.get();
  ggml_tensor input = matrix_of(GGML_TYPE_F32, matrix.ne[0], kRows);
  ggml_tensor product = matrix_of(GGML_TYPE_F32, matrix.ne[1], kRows);
  product.op = GGML_OP_MUL_MAT;
  product.src[0] = &matrix;
  product.src[1] = &input;
  return ggml_backend_dev_supports_op(ggml_backend_buft_get_device(type), &product);
}

ggml_tensor matrix_of(int type, int64_t ne0, int64_t ne1) {
  ggml_tensor matrix{};
  matrix.type = static_cast<ggml_type>(type);
  matrix.ne[0] = ne0;
  matrix.ne[1] = ne1;
  matrix.ne[2] = matrix.ne[3] = 1;
  matrix.nb[0] = ggml_type_size(matrix.type);
  matrix.nb[1] = ggml_row_size(matrix.type, ne0);
  matrix.nb[2] = matrix.nb[3] = matrix.nb[1] * static_cast<size_t>(ne1);
  return matrix;
}

ggml_backend_buffer_type_t own_layout_of(int type, int64_t ne0, int64_t ne1) {
  const ggml_tensor matrix = matrix_of(type, ne0, ne1);
  for (ggml_backend_buffer_type_t own : own_layouts()) {
    if (multiplies(own, matrix)) {
      return own;
    }
  }
  return nullptr;
}

bool is_repacked_layout(ggml_backend_buffer_type_t type) {
  return std::strcmp(ggml_backend_buft_name(type), "CPU_REPACK") == 0;
}

std::optional<uint64_t> own_layout_bytes(int type, int64_t ne0, int64_t ne1) {
  ggml_backend_buffer_type_t own = own_layout_of(type, ne0, ne1);
  const ggml_tensor matrix = matrix_of(type, ne0, ne1);
  return own == nullptr ? std::nullopt : std::optional<uint64_t>(ggml_backend_buft_get_alloc_size(own, &matrix));
}

std::vector<std::byte> laid_out_rows(ggml_backend_buffer_type_t layout, int type, int64_t ne0, int64_t rows,
                                     const std::byte* from) {
  ggml_tensor matrix = matrix_of(type, ne0, rows);
  const size_t bytes = ggml_backend_buft_get_alloc_size(layout, &matrix);
  const BufferPtr buffer(ggml_backend_buft_alloc_buffer(layout, bytes), ggml_backend_buffer_free);
  if (buffer == nullptr) {
    return {};
  }
  ggml_backend_tensor_alloc(buffer.get(), &matrix, ggml_backend_buffer_get_base(buffer.get()));
  ggml_backend_tensor_set(&matrix, from, 0, ggml_nbytes(&matrix));
  const auto* data = static_cast<const std::byte*>(matrix.data);
  return {data, data + bytes};
}

void use_kernels_of(ggml_backend_buffer_type_t layout, ggml_tensor& weight) {
  static std::mutex mutex;
  static std::map<ggml_backend_buffer_type_t, ggml_backend_buffer_t> buffers;  // not for data; kept to the end
  const std::lock_guard lock(mutex);
  auto it = buffers.find(layout);
  if (it == buffers.end()) {
    it = buffers.emplace(layout, ggml_backend_buft_alloc_buffer(layout, 1)).first;
  }
  weight.view_src = nullptr;
  weight.buffer = it->second;
  ggml_backend_buffer_init_tensor(weight.buffer, &weight);
}

}  // namespace hypura
