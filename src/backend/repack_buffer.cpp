#include "backend/repack_buffer.h"

#include <algorithm>
#include <limits>

#include "backend/repacked_layout.h"

namespace hypura {

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

uint64_t capacity_for(const StreamLayout& layout, const TensorInfo& tensor, int64_t height, uint64_t bytes,
                      uint32_t rows) {
  return rows >= RepackBuffer::least_rows(layout, tensor.type, tensor.shape[0], height) ? bytes : 0;
}

}  // namespace

int64_t RepackBuffer::least_rows(int type, int64_t ne0, int64_t ne1) {
  // docs/lab/experiments.md, "Repacking for prompts" and "Prompts of small experts".
  switch (type) {
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_MXFP4:
      return has_repacked_layout(type, ne0, ne1) ? 16 : kNever;
    case GGML_TYPE_Q4_K:
      return has_repacked_layout(type, ne0, ne1) ? 32 : kNever;
    default:
      return kNever;
  }
}

int64_t RepackBuffer::least_rows(const StreamLayout& layout, int type, int64_t ne0, int64_t ne1) {
  const bool never = std::ranges::find(layout.never_repacked, type) != layout.never_repacked.end();
  return never ? kNever : least_rows(type, ne0, ne1);
}

uint64_t RepackBuffer::bytes(const StreamLayout& layout, uint32_t max_rows) {
  uint64_t most = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      most = std::max(
          most,
          part.repacked ? 0 : capacity_for(layout, *part.tensor, part.tensor->shape[1], part.slice_bytes, max_rows));
    }
  }
  for (const DenseItem& item : layout.dense) {
    if (repacks(item)) {
      most = std::max(most, capacity_for(layout, *item.tensor, item.rows.rows, item.extent.length, max_rows));
    }
  }
  return most;
}

uint64_t RepackBuffer::expert_types(const StreamLayout& layout) {
  static_assert(GGML_TYPE_COUNT <= 64);
  uint64_t types = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      const TensorInfo& tensor = *part.tensor;
      const bool pays = !part.repacked && least_rows(layout, tensor.type, tensor.shape[0], tensor.shape[1]) != kNever;
      types |= pays ? uint64_t{1} << static_cast<uint32_t>(tensor.type) : 0;
    }
  }
  return types;
}

bool RepackBuffer::repacks(const DenseItem& item) {
  return !item.repacked && item.tensor->shape[2] == 1 && item.tensor->role != TensorRole::kOutput &&
         item.tensor->role != TensorRole::kEmbedding;
}

std::unique_ptr<RepackBuffer> RepackBuffer::create(const StreamLayout& layout, uint64_t bytes) {
  ggml_backend_buffer_t buffer = make_repacked_buffer(bytes);
  return buffer == nullptr ? nullptr : std::unique_ptr<RepackBuffer>(new RepackBuffer(layout, buffer));
}

RepackBuffer::RepackBuffer(const StreamLayout& layout, ggml_backend_buffer_t buffer)
    : layout_(layout), buffer_(buffer) {}

RepackBuffer::~RepackBuffer() {
  ggml_backend_buffer_free(buffer_);
}

bool RepackBuffer::pays(const ggml_tensor& weight, int64_t rows) const {
  return rows >= least_rows(layout_, weight.type, weight.ne[0], weight.ne[1]) &&
         ggml_row_size(weight.type, weight.ne[0]) * static_cast<size_t>(weight.ne[1]) <=
             ggml_backend_buffer_get_size(buffer_);
}

void RepackBuffer::multiply(InnerGraph& inner, const ggml_tensor& weight, ggml_tensor* input, ggml_tensor* product) {
  ggml_tensor* repacked = inner.view(matrix_of(weight.type, weight.ne[0], weight.ne[1]));
  ggml_backend_tensor_alloc(buffer_, repacked, ggml_backend_buffer_get_base(buffer_));
  inner.add(inner.view(repack_node(inner.view(weight), repacked)));
  inner.multiply(repacked, input, product);
}

}  // namespace hypura
