// The part of LayersNodeMaker that makes products, and what attention is made of.
#include <algorithm>
#include <array>
#include <bit>

#include "backend/worker/layers_node_maker.h"

namespace hypura {

namespace {

constexpr int64_t kReadableBehind = 4096;  // bytes behind each weight that may be read (stream_device.cpp)

}  // namespace

// The second parameter says that the matrix is a Hadamard one, which is then not read: ggml's kernel writes as many
// numbers as a row of the input has, a power of two.
ggml_tensor* LayersNodeMaker::product() {
  if (!has_sources(2) || inplace_ || ggml_is_empty(src_[0]) || !has_rows(*src_[0]) || ggml_is_transposed(src_[0]) ||
      !is_float_rows(src_[1])) {
    return nullptr;
  }
  const ggml_tensor& matrix = *src_[0];
  const ggml_tensor& input = *src_[1];
  const bool fits =
      matrix.ne[0] == input.ne[0] && divides(matrix.ne[2], input.ne[2]) && divides(matrix.ne[3], input.ne[3]);
  const bool integers = matrix.type == GGML_TYPE_I32 || matrix.type == GGML_TYPE_I64;
  const int32_t hint = number(1);
  const bool hadamard = hint == GGML_HINT_SRC0_IS_HADAMARD;
  const bool square = matrix.ne[0] == matrix.ne[1] && std::has_single_bit(static_cast<uint64_t>(matrix.ne[0]));
  if (!fits || integers || (hint != GGML_HINT_NONE && !(hadamard && square))) {
    return nullptr;
  }
  ggml_tensor* made = ggml_mul_mat(ctx_, src_[0], src_[1]);
  std::copy_n(asked_.op_params, 4, made->op_params);  // precisions, which processors do not look at, and the hint
  return made;
}

// Of `from`, by `positions`, with the parameters that were asked for.
bool LayersNodeMaker::rope_fits(const ggml_tensor& from, const ggml_tensor& positions) const {
  const int32_t turned = number(1);
  const int32_t mode = number(2);
  const int32_t begin = number(15);
  const int64_t width = from.ne[0];
  const bool several = (mode & GGML_ROPE_TYPE_MROPE) != 0;
  const bool vision = mode == GGML_ROPE_TYPE_VISION;
  constexpr std::array<int32_t, 5> kModes = {GGML_ROPE_TYPE_NORMAL, GGML_ROPE_TYPE_NEOX, GGML_ROPE_TYPE_MROPE,
                                             GGML_ROPE_TYPE_IMROPE, GGML_ROPE_TYPE_VISION};
  if (std::ranges::find(kModes, mode) == kModes.end() || turned < 2 || turned % 2 != 0 || turned > width ||
      width % 2 != 0 || begin < 0 || begin % 2 != 0 || begin > width - turned ||
      positions.ne[0] != from.ne[2] * (several ? 4 : 1) || (vision && (begin != 0 || turned != width / 2))) {
    return false;
  }
  int64_t sum = 0;
  for (size_t i = 11; several && i < 15; ++i) {
    if (number(i) < 0 || number(i) > width) {
      return false;
    }
    sum += number(i);
  }
  const bool any = number(11) > 0 || number(12) > 0 || number(13) > 0;
  return !several || (any && sum <= width);
}

ggml_tensor* LayersNodeMaker::rope() {
  const bool factors = src_[2] != nullptr;
  if (!has_sources(factors ? 3 : 2) || !none_empty() || !has_rows(*src_[0]) || !is_vector(*src_[1], GGML_TYPE_I32) ||
      (src_[0]->type != GGML_TYPE_F32 && src_[0]->type != GGML_TYPE_F16) || !rope_fits(*src_[0], *src_[1])) {
    return nullptr;
  }
  if (factors) {  // the kernel reads as many as a row has pairs, of which fewer may be turned
    const bool weight = src_[2]->buffer != nullptr && src_[2]->view_src == nullptr;
    const int64_t beyond = (src_[0]->ne[0] / 2 - src_[2]->ne[0]) * static_cast<int64_t>(sizeof(float));
    if (!is_vector(*src_[2], GGML_TYPE_F32) || src_[2]->ne[0] < number(1) / 2 ||
        beyond > (weight ? kReadableBehind : 0)) {
      return nullptr;
    }
  }
  std::array<int, GGML_MROPE_SECTIONS> sections = {};
  std::copy_n(asked_.op_params + 11, sections.size(), sections.begin());
  const auto make = inplace_ ? ggml_rope_multi_inplace : ggml_rope_multi;
  ggml_tensor* made = make(ctx_, src_[0], src_[1], src_[2], number(1), sections.data(), number(2), number(4), real(5),
                           real(6), real(7), real(8), real(9), real(10));
  return number(15) == 0 ? made : ggml_rope_set_offset(made, number(15));
}

// For `cells` keys of each of the rows, which are [., rows, heads, streams].
bool LayersNodeMaker::is_mask(const ggml_tensor* mask, int64_t cells, const ggml_tensor& rows) const {
  return mask != nullptr && ggml_is_contiguous(mask) && has_rows(*mask) && mask->ne[0] == cells &&
         mask->ne[1] >= rows.ne[1] && divides(mask->ne[2], rows.ne[2]) && divides(mask->ne[3], rows.ne[3]);
}

ggml_tensor* LayersNodeMaker::soft_max() {
  const ggml_tensor* mask = src_[1];
  const bool given = mask != nullptr;
  ggml_tensor* sinks = src_[2];
  const bool three = sinks != nullptr;
  const auto others = std::any_of(src_.begin() + 3, src_.end(), [](const ggml_tensor* it) { return it != nullptr; });
  if (!is_float_rows(src_[0]) || others || !ggml_is_contiguous(src_[0]) || (!none_empty() && (given || three))) {
    return nullptr;
  }
  if (given &&
      ((mask->type != GGML_TYPE_F16 && mask->type != GGML_TYPE_F32) || !is_mask(mask, src_[0]->ne[0], *src_[0]))) {
    return refuse("has no mask for its scores");
  }
  if (!given && !(real(1) <= 0)) {
    return nullptr;
  }
  if (three && (!is_vector(*sinks, GGML_TYPE_F32) || sinks->ne[0] != src_[0]->ne[2])) {
    return refuse("has no sink for each head");
  }
  const auto make = inplace_ ? ggml_soft_max_ext_inplace : ggml_soft_max_ext;
  ggml_tensor* made = make(ctx_, src_[0], src_[1], real(0), real(1));
  ggml_soft_max_add_sinks(made, sinks);
  return made;
}

ggml_tensor* LayersNodeMaker::attention() {
  const ggml_tensor* q = src_[0];
  const ggml_tensor* k = src_[1];
  const ggml_tensor* v = src_[2];
  const auto others = std::any_of(src_.begin() + 5, src_.end(), [](const ggml_tensor* it) { return it != nullptr; });
  if (!is_float_rows(q) || k == nullptr || v == nullptr || others || inplace_ || !none_empty()) {
    return nullptr;
  }
  const auto is_cache = [](const ggml_tensor& it) {
    return has_rows(it) && it.type != GGML_TYPE_I32 && it.type != GGML_TYPE_I64;
  };
  const bool fits = k->ne[0] == q->ne[0] && k->ne[1] == v->ne[1] && divides(k->ne[2], q->ne[2]) &&
                    divides(v->ne[2], q->ne[2]) && k->ne[3] == q->ne[3] && v->ne[3] == q->ne[3];
  if (!is_cache(*k) || !is_cache(*v) || !fits || ggml_is_transposed(k)) {
    return refuse("has keys or values of another shape than its queries");
  }
  if (src_[3] != nullptr && (src_[3]->type != GGML_TYPE_F16 || !is_mask(src_[3], k->ne[1], *q))) {
    return refuse("has no mask for its keys");
  }
  if (src_[3] == nullptr && !(real(1) <= 0)) {
    return nullptr;
  }
  if (src_[4] != nullptr && (!is_vector(*src_[4], GGML_TYPE_F32) || src_[4]->ne[0] != q->ne[2])) {
    return refuse("has no sink for each head");
  }
  if ((number(3) != GGML_PREC_DEFAULT && number(3) != GGML_PREC_F32) || number(4) < 0) {
    return nullptr;
  }
  ggml_tensor* made = ggml_flash_attn_ext(ctx_, src_[0], src_[1], src_[2], src_[3], real(0), real(1), real(2));
  ggml_flash_attn_ext_add_sinks(made, src_[4]);
  std::copy_n(asked_.op_params + 3, 2, made->op_params + 3);  // the precision, and how many cells there are at most
  return made;
}

}  // namespace hypura
