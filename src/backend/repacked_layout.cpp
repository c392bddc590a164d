#include "backend/repacked_layout.h"

#include <algorithm>
#include <vector>

#include "fmt/format.h"
#include "support/fnv.h"

namespace hypura {

namespace {

// nullptr when the CPU backend has no repacked layouts.
ggml_backend_buffer_type_t buffer_type() {
  for (ggml_backend_buffer_type_t type : own_layouts()) {
    if (is_repacked_layout(type)) {
      return type;
    }
  }
  return nullptr;
}

// Not for data: it makes a tensor one of that buffer type. nullptr without repacked layouts.
ggml_backend_buffer_t any_buffer() {
  static ggml_backend_buffer_t buffer = make_repacked_buffer(1);
  return buffer;
}

// Repacks this thread's share of the matrix src[0] into src[1].
void repack_share(ggml_tensor* node, int thread, int threads, void* /*data*/) {
  const ggml_tensor& from = *node->src[0];
  const ggml_tensor& share = *node->src[1];
  const int64_t groups = (from.ne[1] + kRowGroup - 1) / kRowGroup;
  const int64_t first = std::min(from.ne[1], groups * thread / threads * kRowGroup);
  const int64_t end = std::min(from.ne[1], groups * (thread + 1) / threads * kRowGroup);
  if (first == end) {
    return;
  }
  const auto offset = static_cast<size_t>(first) * share.nb[1];
  repack_rows(from.type, from.ne[0], end - first, static_cast<const std::byte*>(from.data) + offset,
              static_cast<std::byte*>(share.data) + offset);
}

// The only way to such a node is through a context of ggml's.
ggml_tensor make_repack_node() {
  ggml_context* context = ggml_init({ggml_tensor_overhead(), nullptr, true});
  ggml_tensor node =
      *ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, repack_share, GGML_N_TASKS_MAX, nullptr);
  ggml_free(context);
  node.flags = GGML_TENSOR_FLAG_COMPUTE;
  return node;
}

}  // namespace

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

ggml_tensor repack_node(ggml_tensor* from, ggml_tensor* to) {
  static const ggml_tensor kMade = make_repack_node();
  ggml_tensor node = kMade;
  node.src[0] = from;
  node.src[1] = to;
  return node;
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
