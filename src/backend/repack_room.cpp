#include "backend/repack_room.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace hypura {

namespace {

// Interleaved together are 4, 8 or 16 rows of a matrix: threads share it in multiples of that.
constexpr int64_t kRowGroup = 16;

// nullptr when the CPU backend has no fast layouts. The backend must be loaded.
ggml_backend_buffer_type_t buffer_type() {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_reg_t registry = cpu == nullptr ? nullptr : ggml_backend_dev_backend_reg(cpu);
  const auto extra = registry == nullptr
                         ? nullptr
                         : reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
                               ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts"));
  ggml_backend_buffer_type_t* types = extra == nullptr ? nullptr : extra(cpu);
  for (; types != nullptr && *types != nullptr; ++types) {
    if (std::strcmp(ggml_backend_buft_name(*types), "CPU_REPACK") == 0) {
      return *types;
    }
  }
  return nullptr;
}

// A matrix without data.
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

// Whether ggml has a faster layout for such a matrix: it notes its kernels in a tensor of that buffer type.
bool has_layout(int type, int64_t ne0, int64_t ne1) {
  ggml_tensor matrix = matrix_of(type, ne0, ne1);
  ggml_backend_buffer_type_t layouts = buffer_type();
  if (layouts == nullptr) {
    return false;
  }
  static ggml_backend_buffer_t probe = ggml_backend_buft_alloc_buffer(layouts, 1);
  return probe != nullptr && ggml_backend_buffer_init_tensor(probe, &matrix) == GGML_STATUS_SUCCESS &&
         matrix.extra != nullptr;
}

// Repacks this thread's share of the matrix src[0] into src[1].
void repack_share(ggml_tensor* node, int thread, int threads, void* /*data*/) {
  const ggml_tensor& from = *node->src[0];
  ggml_tensor share = *node->src[1];
  const int64_t groups = (from.ne[1] + kRowGroup - 1) / kRowGroup;
  const int64_t first = std::min(from.ne[1], groups * thread / threads * kRowGroup);
  const int64_t end = std::min(from.ne[1], groups * (thread + 1) / threads * kRowGroup);
  if (first == end) {
    return;
  }
  const auto offset = static_cast<size_t>(first) * share.nb[1];
  share.ne[1] = end - first;
  share.nb[2] = share.nb[3] = share.nb[1] * static_cast<size_t>(share.ne[1]);
  share.data = static_cast<std::byte*>(share.data) + offset;
  ggml_backend_tensor_set(&share, static_cast<const std::byte*>(from.data) + offset, 0, share.nb[2]);
}

// The only way to such a node is through a context of ggml's.
ggml_tensor repack_node() {
  ggml_context* context = ggml_init({ggml_tensor_overhead(), nullptr, true});
  ggml_tensor node =
      *ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, repack_share, GGML_N_TASKS_MAX, nullptr);
  ggml_free(context);
  node.flags = GGML_TENSOR_FLAG_COMPUTE;
  return node;
}

uint64_t room_for(const TensorInfo& tensor, uint64_t bytes, uint32_t rows) {
  return rows >= RepackRoom::least_rows(tensor.type, tensor.shape[0], tensor.shape[1]) ? bytes : 0;
}

}  // namespace

int64_t RepackRoom::least_rows(int type, int64_t ne0, int64_t ne1) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  // Measured with AVX-512 (docs/experiments.md, "Repacking for prompts").
  switch (type) {
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_MXFP4:
      return has_layout(type, ne0, ne1) ? 16 : kNever;
    case GGML_TYPE_Q4_K:
      return has_layout(type, ne0, ne1) ? 64 : kNever;
    default:
      return kNever;
  }
}

uint64_t RepackRoom::bytes(const StreamLayout& layout, uint32_t max_rows) {
  uint64_t most = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      most = std::max(most, room_for(*part.tensor, part.slice_bytes, max_rows));
    }
  }
  for (const DenseItem& item : layout.dense) {
    if (repacks(item)) {
      most = std::max(most, room_for(*item.tensor, item.tensor->extent.length, max_rows));
    }
  }
  return most;
}

bool RepackRoom::repacks(const DenseItem& item) {
  return item.tensor->role != TensorRole::kOutput;
}

std::unique_ptr<RepackRoom> RepackRoom::create(uint64_t bytes) {
  ggml_backend_buffer_type_t type = buffer_type();
  ggml_backend_buffer_t buffer = type == nullptr ? nullptr : ggml_backend_buft_alloc_buffer(type, bytes);
  return buffer == nullptr ? nullptr : std::unique_ptr<RepackRoom>(new RepackRoom(buffer));
}

RepackRoom::RepackRoom(ggml_backend_buffer_t buffer) : buffer_(buffer), repack_(repack_node()) {}

RepackRoom::~RepackRoom() {
  ggml_backend_buffer_free(buffer_);
}

bool RepackRoom::pays(const ggml_tensor& weight, int64_t rows) const {
  return rows >= least_rows(weight.type, weight.ne[0], weight.ne[1]) &&
         ggml_row_size(weight.type, weight.ne[0]) * static_cast<size_t>(weight.ne[1]) <=
             ggml_backend_buffer_get_size(buffer_);
}

void RepackRoom::multiply(InnerGraph& inner, const ggml_tensor& weight, ggml_tensor* input, ggml_tensor* product) {
  ggml_tensor* room = inner.twin(matrix_of(weight.type, weight.ne[0], weight.ne[1]));
  ggml_backend_tensor_alloc(buffer_, room, ggml_backend_buffer_get_base(buffer_));
  ggml_tensor* repack = inner.twin(repack_);
  repack->src[0] = inner.twin(weight);
  repack->src[1] = room;
  inner.add(repack);
  product->op = GGML_OP_MUL_MAT;
  product->flags = GGML_TENSOR_FLAG_COMPUTE;
  product->src[0] = room;
  product->src[1] = input;
  product->src[2] = nullptr;
  inner.add(product);
}

}  // namespace hypura
