// The part of LayersNodeMaker that makes what layers with experts have besides: the router's choice, and what is
// computed by it.
#include "backend/worker/layers_node_maker.h"

namespace hypura {

// Where a pass asks for no logits its last layer's rows are none, and nothing is computed of them.
//
// The kernel counts rows through all dimensions by nb[1], here and of what it makes.
ggml_tensor* LayersNodeMaker::order() {
  const int32_t kind = number(0);
  if (!has_sources(1) || inplace_ || !is_float(*src_[0]) || !(ggml_is_empty(src_[0]) || has_even_rows(*src_[0])) ||
      (kind != GGML_SORT_ORDER_ASC && kind != GGML_SORT_ORDER_DESC)) {
    return nullptr;
  }
  return ggml_argsort(ctx_, src_[0], static_cast<ggml_sort_order>(kind));
}

// That the numbers are of experts that there are, its caller sees to; and that the matrices are of experts.
bool LayersNodeMaker::is_choice(const ggml_tensor& ids) const {
  return ids.type == GGML_TYPE_I32 && has_rows(ids) && ids.ne[2] == 1 && ids.ne[3] == 1;
}

ggml_tensor* LayersNodeMaker::product_by_experts() {
  if (!has_sources(3) || inplace_ || ggml_is_empty(src_[0]) || !has_rows(*src_[0]) || ggml_is_transposed(src_[0]) ||
      !is_float_rows(src_[1]) || !is_choice(*src_[2])) {
    return nullptr;
  }
  const ggml_tensor& matrices = *src_[0];
  const ggml_tensor& input = *src_[1];
  const ggml_tensor& ids = *src_[2];
  const bool fits = matrices.ne[0] == input.ne[0] && matrices.ne[3] == 1 && input.ne[3] == 1 &&
                    ids.ne[1] == input.ne[2] && divides(input.ne[1], ids.ne[0]) && ids.ne[0] <= matrices.ne[2];
  if (!fits || number(1) != GGML_HINT_NONE) {
    return nullptr;
  }
  ggml_tensor* made = ggml_mul_mat_id(ctx_, src_[0], src_[1], src_[2]);
  std::copy_n(asked_.op_params, 4, made->op_params);  // precisions, which processors do not look at
  return made;
}

ggml_tensor* LayersNodeMaker::add_by_experts() {
  if (!has_sources(3) || inplace_ || ggml_is_empty(src_[1]) || !is_float_rows(src_[0]) || !is_float_rows(src_[1]) ||
      !is_choice(*src_[2])) {
    return nullptr;
  }
  const ggml_tensor& rows = *src_[0];
  const ggml_tensor& biases = *src_[1];
  const bool fits = rows.ne[0] == biases.ne[0] && biases.ne[2] == 1 && biases.ne[3] == 1 && rows.ne[3] == 1 &&
                    rows.ne[1] == src_[2]->ne[0] && rows.ne[2] == src_[2]->ne[1];
  return fits ? ggml_add_id(ctx_, src_[0], src_[1], src_[2]) : nullptr;
}

// What is filled is read by nobody: of the source only the shape counts.
ggml_tensor* LayersNodeMaker::fill() {
  if (!has_sources(1) || !is_float_rows(src_[0]) || !ggml_is_contiguous(src_[0]) || !has_even_rows(*src_[0])) {
    return nullptr;
  }
  return inplace_ ? ggml_fill_inplace(ctx_, src_[0], real(0)) : ggml_fill(ctx_, src_[0], real(0));
}

}  // namespace hypura
