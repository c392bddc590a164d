#include "backend/dense_executor.h"

#include <algorithm>
#include <cstring>

#include "backend/repacked_layout.h"
#include "backend/streamed_weights.h"
#include "support/fail.h"

namespace hypura {

Status DenseExecutor::add(ggml_tensor* node, const StreamedTensor& matrix) {
  for (uint32_t i = 0; i < matrix.items; ++i) {
    if (Status status = add_range(node, matrix.item + i); !status) {
      return status;
    }
  }
  return {};
}

Status DenseExecutor::add_range(ggml_tensor* node, uint32_t item) {
  if (!store_.ready(item) || inner_.is_full()) {
    if (Status status = flush(); !status) {  // it makes place in the ring, and the weight is on its way
      return status;
    }
  }
  const Result<std::byte*> data = store_.acquire(item);
  if (!data) {
    inner_.discard();
    return propagate(data.error());
  }
  const RowRange& rows = layout_.dense[item].rows;
  ggml_tensor* weight = inner_.view(*node->src[0]);
  weight->buffer = nullptr;
  weight->data = *data;
  weight->ne[1] = rows.rows;
  weight->nb[2] = weight->nb[1] * static_cast<size_t>(rows.rows);
  weight->nb[3] = weight->nb[2] * static_cast<size_t>(weight->ne[2]);
  if (layout_.dense[item].repacked) {
    use_repacked_kernels(*weight);
  }
  ggml_tensor* view = inner_.view(*node);
  view->src[0] = weight;
  view->ne[0] = rows.rows;
  view->data = static_cast<float*>(node->data) + rows.first;
  if (repacks_range(*weight, *view, item)) {
    repack_->multiply(inner_, *weight, view->src[1], view);
  } else {
    inner_.add(view);
  }
  return {};
}

const std::byte* DenseExecutor::pinned_row(const StreamedTensor& matrix, int64_t row) const {
  const auto begin = layout_.dense.begin() + matrix.item;
  const auto after = std::upper_bound(begin, begin + matrix.items, row,
                                      [](int64_t it, const DenseItem& item) { return it < item.rows.first; });
  const DenseItem& item = *std::prev(after);
  const std::byte* data = store_.pinned(static_cast<uint32_t>(std::prev(after) - layout_.dense.begin()));
  return data == nullptr ? nullptr : data + static_cast<uint64_t>(row - item.rows.first) * item.tensor->row_bytes();
}

Status DenseExecutor::copy(const StreamedTensor& matrix, uint64_t offset, std::span<std::byte> to) {
  if (Status status = flush(); !status) {
    return status;
  }
  for (uint32_t i = 0; i < matrix.items && !to.empty(); ++i) {
    const uint64_t length = layout_.dense[matrix.item + i].extent.length;
    if (offset >= length) {
      offset -= length;
      continue;
    }
    const Result<std::byte*> data = store_.acquire(matrix.item + i);
    if (!data) {
      return propagate(data.error());
    }
    const uint64_t size = std::min<uint64_t>(length - offset, to.size());
    std::memcpy(to.data(), *data + offset, size);
    store_.release();
    to = to.subspan(size);
    offset = 0;
  }
  return {};
}

// Whether the product is computed repacked: one matrix, with rows as ggml's kernels for that take them.
bool DenseExecutor::repacks_range(const ggml_tensor& weight, const ggml_tensor& node, uint32_t item) const {
  const ggml_tensor& input = *node.src[1];
  return repack_ != nullptr && RepackBuffer::repacks(layout_.dense[item]) && ggml_is_matrix(&weight) &&
         ggml_is_matrix(&input) && input.type == GGML_TYPE_F32 && ggml_is_contiguous(&input) &&
         repack_->pays(weight, input.ne[1]);
}

bool DenseExecutor::repacks(const ggml_tensor& node, const StreamedTensor& matrix) const {
  ggml_tensor weight = *node.src[0];
  for (uint32_t i = 0; i < matrix.items; ++i) {
    weight.ne[1] = layout_.dense[matrix.item + i].rows.rows;
    if (repacks_range(weight, node, matrix.item + i)) {
      return true;
    }
  }
  return false;
}

Status DenseExecutor::flush() {
  ggml_status status = GGML_STATUS_FAILED;
  try {
    status = inner_.run();
  } catch (...) {
    store_.release();
    throw;
  }
  store_.release();
  if (status != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute with streamed weights");
  }
  return {};
}

}  // namespace hypura
