// What make_layers_node() (layers_node.h) is made of.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/worker/layers_node.h"
#include "ggml.h"
#include "hypura/result.h"

namespace hypura {

inline bool is_float(const ggml_tensor& tensor) {
  return tensor.type == GGML_TYPE_F32;
}

inline bool is_plain(ggml_type type) {
  return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

// One element lies behind the other in each row.
inline bool has_rows(const ggml_tensor& tensor) {
  return tensor.nb[0] == ggml_type_size(tensor.type);
}

// ggml_is_contiguous_rows() lets gaps be where a row has one block.
inline bool is_float_rows(const ggml_tensor* tensor) {
  return tensor != nullptr && is_float(*tensor) && has_rows(*tensor);
}

// All of its rows lie as far behind the one before as the second lies behind the first, though there be none. Some
// kernels count rows through all dimensions by nb[1], which ggml_is_contiguous() does not look at where ne[1] is 1.
inline bool has_even_rows(const ggml_tensor& tensor) {
  size_t step = tensor.nb[1];
  for (int i = 1; i < GGML_MAX_DIMS; ++i) {
    if (tensor.ne[i] != 1 && tensor.nb[i] != step) {
      return false;
    }
    step *= static_cast<size_t>(tensor.ne[i]);
  }
  return has_rows(tensor);
}

inline bool is_vector(const ggml_tensor& tensor, ggml_type type) {
  return tensor.type == type && ggml_is_vector(&tensor) && has_rows(tensor);
}

inline bool divides(int64_t part, int64_t whole) {
  return part > 0 && whole % part == 0;
}

// One node in work. Functions give nullptr where it is not as it must be; why_ says what, if more than that is known.
class LayersNodeMaker {
 public:
  LayersNodeMaker(ggml_context* ctx, const ggml_tensor& asked, const LayersSources& sources)
      : ctx_(ctx), asked_(asked), src_(sources), inplace_(asked.view_src != nullptr) {}

  Result<ggml_tensor*> make();

 private:
  ggml_tensor* dispatch();
  ggml_tensor* view();
  ggml_tensor* permute();
  ggml_tensor* reshape();
  ggml_tensor* of_two();
  ggml_tensor* of_each();
  ggml_tensor* unary();
  ggml_tensor* glu();
  ggml_tensor* norm();
  ggml_tensor* product();
  ggml_tensor* rope();
  ggml_tensor* soft_max();
  ggml_tensor* attention();
  ggml_tensor* copy();
  ggml_tensor* concat();
  ggml_tensor* repeat();
  ggml_tensor* rows();
  ggml_tensor* order();
  ggml_tensor* product_by_experts();
  ggml_tensor* add_by_experts();
  ggml_tensor* fill();

  const ggml_tensor* shown() const;
  bool has_room() const;
  uint64_t view_offset() const;
  bool has_sources(size_t count) const;  // the first `count`, and no more
  bool none_empty() const;
  bool may_copy(const ggml_tensor& from, const ggml_tensor& to) const;
  bool is_mask(const ggml_tensor* mask, int64_t cells, const ggml_tensor& rows) const;
  bool is_choice(const ggml_tensor& ids) const;
  bool rope_fits(const ggml_tensor& from, const ggml_tensor& positions) const;
  int32_t number(size_t i) const { return asked_.op_params[i]; }
  float real(size_t i) const {
    float value = 0;
    std::memcpy(&value, &asked_.op_params[i], sizeof(value));
    return value;
  }
  ggml_tensor* refuse(const char* why) {
    why_ = why;
    return nullptr;
  }

  ggml_context* ctx_;
  const ggml_tensor& asked_;
  const LayersSources& src_;
  bool inplace_;
  const char* why_ = "has not the sources or parameters that it must have";
};

}  // namespace hypura
