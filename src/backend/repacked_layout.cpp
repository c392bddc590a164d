#include "backend/repacked_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "fmt/format.h"
#include "support/fnv.h"

namespace hypura {

namespace {

// The buffer types of the CPU backend's own layouts: repacked, and others that some processors have (AMX's tiles).
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

// nullptr when the CPU backend has no repacked layouts.
ggml_backend_buffer_type_t buffer_type() {
  for (ggml_backend_buffer_type_t type : own_layouts()) {
    if (std::strcmp(ggml_backend_buft_name(type), "CPU_REPACK") == 0) {
      return type;
    }
  }
  return nullptr;
}

// Whether the CPU backend multiplies by such a matrix in a buffer of `type`, as llama.cpp's loader asks it.
bool multiplies(ggml_backend_buffer_type_t type, ggml_tensor matrix) {
  constexpr int64_t kRows = 512;  // what the loader asks for
  const std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)> buffer(
      ggml_backend_buft_alloc_buffer(type, 0), ggml_backend_buffer_free);
  matrix.buffer = buffer.get();
  ggml_tensor input = matrix_of(GGML_TYPE_F32, matrix.ne[0], kRows);
  ggml_tensor product = matrix_of(GGML_TYPE_F32, matrix.ne[1], kRows);
  product.op = GGML_OP_MUL_MAT;
  product.src[0] = &matrix;
  product.src[1] = &input;
  return ggml_backend_dev_supports_op(ggml_backend_buft_get_device(type), &product);
}

// Not for data: it makes a tensor one of that buffer type. nullptr without repacked layouts.
ggml_backend_buffer_t any_buffer() {
  static ggml_backend_buffer_t buffer = make_repacked_buffer(1);
  return buffer;
}

}  // namespace

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

ggml_backend_buffer_t make_repacked_buffer(uint64_t bytes) {
  ggml_backend_buffer_type_t type = buffer_type();
  return type == nullptr ? nullptr : ggml_backend_buft_alloc_buffer(type, bytes);
}

// ggml notes its kernels in a tensor of that buffer type.
bool has_repacked_layout(int type, int64_t ne0, int64_t ne1) {
  ggml_tensor matrix = matrix_of(type, ne0, ne1);
  return any_buffer() != nullptr && ggml_backend_buffer_init_tensor(any_buffer(), &matrix) == GGML_STATUS_SUCCESS &&
         matrix.extra != nullptr;
}

std::optional<uint64_t> own_layout_bytes(int type, int64_t ne0, int64_t ne1) {
  const ggml_tensor matrix = matrix_of(type, ne0, ne1);
  for (ggml_backend_buffer_type_t own : own_layouts()) {
    if (multiplies(own, matrix)) {
      return ggml_backend_buft_get_alloc_size(own, &matrix);
    }
  }
  return std::nullopt;
}

void use_repacked_kernels(ggml_tensor& weight) {
  weight.view_src = nullptr;
  weight.buffer = any_buffer();
  ggml_backend_buffer_init_tensor(weight.buffer, &weight);
}

void repack_rows(int type, int64_t ne0, int64_t rows, const std::byte* from, std::byte* to) {
  ggml_tensor matrix = matrix_of(type, ne0, rows);
  use_repacked_kernels(matrix);
  matrix.data = to;
  ggml_backend_tensor_set(&matrix, from, 0, matrix.nb[2]);
}

std::string repacked_layout_name(int type) {
  constexpr int64_t kWidth = 512;  // a multiple of every block
  if (!has_repacked_layout(type, kWidth, kRowGroup)) {
    return {};
  }
  const size_t bytes = ggml_row_size(static_cast<ggml_type>(type), kWidth) * kRowGroup;
  std::vector<std::byte> plain(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    plain[i] = static_cast<std::byte>(i * 167 + i / 251);
  }
  std::vector<std::byte> repacked(bytes);
  repack_rows(type, kWidth, kRowGroup, plain.data(), repacked.data());
  return fmt::format("{:016x}", fnv1a({reinterpret_cast<const char*>(repacked.data()), repacked.size()}));
}

}  // namespace hypura
