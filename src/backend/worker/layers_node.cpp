#include "backend/worker/layers_node.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "backend/worker/layers_node_maker.h"
#include "support/fail.h"

namespace hypura {

// The source that what is made is a view of; nullptr: it has memory of its own.
const ggml_tensor* LayersNodeMaker::shown() const {
  if (asked_.op == GGML_OP_CPY) {
    return src_[1];
  }
  if (asked_.op == GGML_OP_SET_ROWS) {
    return src_[2];
  }
  return inplace_ || only_shows(asked_.op) ? src_[0] : nullptr;
}

// ggml asserts of each view that its elements, one behind the other, would have room in what it shows.
bool LayersNodeMaker::has_room() const {
  const ggml_tensor* source = shown();
  if (source == nullptr) {
    return true;
  }
  const ggml_tensor& root = source->view_src == nullptr ? *source : *source->view_src;
  const ggml_tensor& shape = asked_.op == GGML_OP_VIEW ? asked_ : *source;
  uint64_t begin = source->view_offs;
  if (asked_.op == GGML_OP_VIEW) {
    begin += view_offset();
  }
  const uint64_t bytes =
      ggml_row_size(shape.type, shape.ne[0]) * static_cast<uint64_t>(shape.ne[1] * shape.ne[2] * shape.ne[3]);
  return bytes == 0 || (begin <= ggml_nbytes(&root) && bytes <= ggml_nbytes(&root) - begin);
}

Result<ggml_tensor*> LayersNodeMaker::make() {
  ggml_tensor* made = has_room() ? dispatch() : refuse("is a view beyond what it shows");
  if (made == nullptr) {
    return fail(ErrorCode::kUsage, "{}", why_);
  }
  return made;
}

ggml_tensor* LayersNodeMaker::dispatch() {
  switch (asked_.op) {
    case GGML_OP_VIEW:
      return view();
    case GGML_OP_PERMUTE:
      return permute();
    case GGML_OP_TRANSPOSE:
      return has_sources(1) ? ggml_transpose(ctx_, src_[0]) : nullptr;
    case GGML_OP_RESHAPE:
      return reshape();
    case GGML_OP_ADD:
    case GGML_OP_SUB:
    case GGML_OP_MUL:
    case GGML_OP_DIV:
      return of_two();
    case GGML_OP_SQR:
    case GGML_OP_SQRT:
    case GGML_OP_SCALE:
    case GGML_OP_CLAMP:
    case GGML_OP_SUM_ROWS:
      return of_each();
    case GGML_OP_UNARY:
      return unary();
    case GGML_OP_GLU:
      return glu();
    case GGML_OP_NORM:
    case GGML_OP_RMS_NORM:
    case GGML_OP_L2_NORM:
      return norm();
    case GGML_OP_MUL_MAT:
      return product();
    case GGML_OP_ROPE:
      return rope();
    case GGML_OP_SOFT_MAX:
      return soft_max();
    case GGML_OP_FLASH_ATTN_EXT:
      return attention();
    case GGML_OP_CPY:
    case GGML_OP_CONT:
    case GGML_OP_DUP:
      return copy();
    case GGML_OP_CONCAT:
      return concat();
    case GGML_OP_REPEAT:
      return repeat();
    case GGML_OP_GET_ROWS:
    case GGML_OP_SET_ROWS:
      return rows();
    case GGML_OP_ARGSORT:
      return order();
    case GGML_OP_MUL_MAT_ID:
      return product_by_experts();
    case GGML_OP_ADD_ID:
      return add_by_experts();
    case GGML_OP_FILL:
      return fill();
    default:
      return refuse("is an operation that a worker does not compute for whole layers");
  }
}

bool LayersNodeMaker::has_sources(size_t count) const {
  const auto given = [](const ggml_tensor* it) { return it != nullptr; };
  return std::all_of(src_.begin(), src_.begin() + static_cast<ptrdiff_t>(count), given) &&
         std::none_of(src_.begin() + static_cast<ptrdiff_t>(count), src_.end(), given);
}

bool LayersNodeMaker::none_empty() const {
  return std::ranges::none_of(src_, [](const ggml_tensor* it) { return it != nullptr && ggml_is_empty(it); });
}

// --- what shows ----------------------------------------------------------------------------------------------------

// From where its source begins; less than an address has room for.
uint64_t LayersNodeMaker::view_offset() const {
  uint64_t offset = 0;
  std::memcpy(&offset, asked_.op_params, sizeof(offset));
  return std::min(offset, UINT64_MAX / 4);
}

// That it lies within what it shows, its caller looks after. ggml keeps the offset in the parameters too.
ggml_tensor* LayersNodeMaker::view() {
  if (!has_sources(1) || asked_.type != src_[0]->type) {
    return nullptr;
  }
  const auto* ne = asked_.ne;
  const auto* nb = asked_.nb;
  return ggml_view_4d(ctx_, src_[0], ne[0], ne[1], ne[2], ne[3], nb[1], nb[2], nb[3], view_offset());
}

ggml_tensor* LayersNodeMaker::permute() {
  std::array<bool, GGML_MAX_DIMS> seen = {};
  for (size_t i = 0; i < seen.size(); ++i) {
    if (number(i) < 0 || number(i) >= GGML_MAX_DIMS || std::exchange(seen[static_cast<size_t>(number(i))], true)) {
      return nullptr;
    }
  }
  return has_sources(1) ? ggml_permute(ctx_, src_[0], number(0), number(1), number(2), number(3)) : nullptr;
}

ggml_tensor* LayersNodeMaker::reshape() {
  const auto* ne = asked_.ne;
  if (!has_sources(1) || !ggml_is_contiguous(src_[0]) || ggml_nelements(src_[0]) != ne[0] * ne[1] * ne[2] * ne[3] ||
      ne[0] % ggml_blck_size(src_[0]->type) != 0) {
    return nullptr;
  }
  return ggml_reshape_4d(ctx_, src_[0], ne[0], ne[1], ne[2], ne[3]);
}

// --- element by element --------------------------------------------------------------------------------------------

ggml_tensor* LayersNodeMaker::of_two() {
  if (!has_sources(2) || !is_float_rows(src_[0]) || !is_float(*src_[1]) || !ggml_can_repeat(src_[1], src_[0])) {
    return nullptr;
  }
  switch (asked_.op) {
    case GGML_OP_ADD:
      return inplace_ ? ggml_add_inplace(ctx_, src_[0], src_[1]) : ggml_add(ctx_, src_[0], src_[1]);
    case GGML_OP_SUB:
      return inplace_ ? ggml_sub_inplace(ctx_, src_[0], src_[1]) : ggml_sub(ctx_, src_[0], src_[1]);
    case GGML_OP_MUL:
      return inplace_ ? ggml_mul_inplace(ctx_, src_[0], src_[1]) : ggml_mul(ctx_, src_[0], src_[1]);
    default:
      return inplace_ ? ggml_div_inplace(ctx_, src_[0], src_[1]) : ggml_div(ctx_, src_[0], src_[1]);
  }
}

ggml_tensor* LayersNodeMaker::of_each() {
  if (!has_sources(1) || !is_float_rows(src_[0])) {
    return nullptr;
  }
  switch (asked_.op) {
    case GGML_OP_SQR:
      return inplace_ ? ggml_sqr_inplace(ctx_, src_[0]) : ggml_sqr(ctx_, src_[0]);
    case GGML_OP_SQRT:
      return inplace_ ? ggml_sqrt_inplace(ctx_, src_[0]) : ggml_sqrt(ctx_, src_[0]);
    case GGML_OP_SUM_ROWS:
      return inplace_ ? nullptr : ggml_sum_rows(ctx_, src_[0]);
    case GGML_OP_CLAMP:
      if (!has_even_rows(*src_[0])) {
        return nullptr;
      }
      return inplace_ ? ggml_clamp_inplace(ctx_, src_[0], real(0), real(1))
                      : ggml_clamp(ctx_, src_[0], real(0), real(1));
    default:
      if (!ggml_is_contiguous(src_[0]) || !has_even_rows(*src_[0])) {
        return nullptr;
      }
      return inplace_ ? ggml_scale_bias_inplace(ctx_, src_[0], real(0), real(1))
                      : ggml_scale_bias(ctx_, src_[0], real(0), real(1));
  }
}

ggml_tensor* LayersNodeMaker::unary() {
  const int32_t kind = number(0);
  if (!has_sources(1) || !is_float_rows(src_[0]) || kind < 0 || kind >= GGML_UNARY_OP_COUNT) {
    return nullptr;
  }
  const auto op = static_cast<ggml_unary_op>(kind);
  if (op == GGML_UNARY_OP_XIELU && (inplace_ || !ggml_is_contiguous_1(src_[0]))) {
    return nullptr;
  }
  ggml_tensor* made = inplace_ ? ggml_unary_inplace(ctx_, src_[0], op) : ggml_unary(ctx_, src_[0], op);
  if (op == GGML_UNARY_OP_XIELU) {  // whose four numbers ggml computes from others
    std::copy_n(asked_.op_params + 1, 4, made->op_params + 1);
  }
  return made;
}

ggml_tensor* LayersNodeMaker::glu() {
  const int32_t kind = number(0);
  const bool split = src_[1] != nullptr;
  if (!has_sources(split ? 2 : 1) || inplace_ || kind < 0 || kind >= GGML_GLU_OP_COUNT) {
    return nullptr;
  }
  for (const ggml_tensor* it : {src_[0], src_[1]}) {
    if (it != nullptr &&
        (!is_float(*it) || !ggml_is_contiguous_1(it) || !has_even_rows(*it) || !ggml_are_same_shape(it, src_[0]))) {
      return nullptr;
    }
  }
  const auto op = static_cast<ggml_glu_op>(kind);
  if (op == GGML_GLU_OP_SWIGLU_OAI || op == GGML_GLU_OP_SWIGLU_CLAMP) {
    if (!split || !(real(3) >= 0)) {
      return nullptr;
    }
    return op == GGML_GLU_OP_SWIGLU_OAI ? ggml_swiglu_oai(ctx_, src_[0], src_[1], real(2), real(3))
                                        : ggml_swiglu_clamp(ctx_, src_[0], src_[1], real(3));
  }
  if (split) {
    return ggml_glu_split(ctx_, src_[0], src_[1], op);
  }
  const bool halves = src_[0]->ne[0] % 2 == 0 && (number(1) == 0 || number(1) == 1);
  return halves ? ggml_glu(ctx_, src_[0], op, number(1) == 1) : nullptr;
}

ggml_tensor* LayersNodeMaker::norm() {
  const float epsilon = real(0);
  if (!has_sources(1) || !is_float_rows(src_[0]) || !(epsilon >= 0)) {
    return nullptr;
  }
  switch (asked_.op) {
    case GGML_OP_NORM:
      return inplace_ ? ggml_norm_inplace(ctx_, src_[0], epsilon) : ggml_norm(ctx_, src_[0], epsilon);
    case GGML_OP_RMS_NORM:
      return inplace_ ? ggml_rms_norm_inplace(ctx_, src_[0], epsilon) : ggml_rms_norm(ctx_, src_[0], epsilon);
    default:
      return inplace_ ? ggml_l2_norm_inplace(ctx_, src_[0], epsilon) : ggml_l2_norm(ctx_, src_[0], epsilon);
  }
}

// --- copies and rows -----------------------------------------------------------------------------------------------

// ggml's kernels take memory for as many numbers as a row that is written has, and use it for one that is read; and
// those that find their way through a target with gaps count by the source.
bool LayersNodeMaker::may_copy(const ggml_tensor& from, const ggml_tensor& to) const {
  const bool same_shape = ggml_are_same_shape(&from, &to);
  if (ggml_nelements(&from) != ggml_nelements(&to) || ggml_nelements(&from) >= (int64_t{1} << 31)) {
    return false;
  }
  if (from.type == to.type) {
    return same_shape || (ggml_is_contiguous(&to) && !ggml_is_quantized(from.type));
  }
  if (is_plain(from.type) && is_plain(to.type)) {
    return same_shape || ggml_is_contiguous(&to);
  }
  if (is_plain(from.type) && ggml_is_quantized(to.type)) {
    return same_shape && ggml_is_contiguous(&to) && has_rows(from);
  }
  return ggml_is_quantized(from.type) && is_float(to) && same_shape && has_rows(from) && has_rows(to);
}

ggml_tensor* LayersNodeMaker::copy() {
  const bool cast = asked_.op == GGML_OP_CPY && src_[1] == nullptr;
  if (!has_sources(asked_.op == GGML_OP_CPY && !cast ? 2 : 1)) {
    return nullptr;
  }
  const auto* ne = asked_.ne;
  const auto makes = [&] { return ggml_nelements(src_[0]) == ne[0] * ne[1] * ne[2] * ne[3]; };
  ggml_tensor* made = nullptr;
  if (asked_.op == GGML_OP_CONT && makes() && ne[0] % ggml_blck_size(src_[0]->type) == 0) {
    made = ggml_cont_4d(ctx_, src_[0], ne[0], ne[1], ne[2], ne[3]);
  } else if (asked_.op == GGML_OP_DUP && !inplace_) {
    made = ggml_dup(ctx_, src_[0]);
  } else if (cast && src_[0]->ne[0] % ggml_blck_size(asked_.type) == 0) {
    made = ggml_cast(ctx_, src_[0], asked_.type);
  } else if (asked_.op == GGML_OP_CPY && !cast && may_copy(*src_[0], *src_[1])) {
    made = ggml_cpy(ctx_, src_[0], src_[1]);
  }
  return made != nullptr && may_copy(*src_[0], *made) ? made : refuse("is a copy of a kind that there is not");
}

ggml_tensor* LayersNodeMaker::concat() {
  const int32_t dimension = number(0);
  if (!has_sources(2) || inplace_ || !none_empty() || dimension < 0 || dimension >= GGML_MAX_DIMS ||
      src_[0]->type != src_[1]->type || !is_plain(src_[0]->type)) {
    return nullptr;
  }
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    if (i != dimension && src_[0]->ne[i] != src_[1]->ne[i]) {
      return nullptr;
    }
  }
  return ggml_concat(ctx_, src_[0], src_[1], dimension);
}

ggml_tensor* LayersNodeMaker::repeat() {
  const auto* ne = asked_.ne;
  if (!has_sources(1) || inplace_ || !none_empty() || !is_plain(src_[0]->type) || !has_rows(*src_[0])) {
    return nullptr;
  }
  for (int i = 0; i < GGML_MAX_DIMS; ++i) {
    if (!divides(src_[0]->ne[i], ne[i])) {
      return nullptr;
    }
  }
  return ggml_repeat_4d(ctx_, src_[0], ne[0], ne[1], ne[2], ne[3]);
}

// That the numbers are of rows that there are is looked at before each computation.
ggml_tensor* LayersNodeMaker::rows() {
  if (asked_.op == GGML_OP_GET_ROWS) {
    if (!has_sources(2) || inplace_ || !is_plain(src_[0]->type) || !has_rows(*src_[0]) ||
        src_[1]->type != GGML_TYPE_I32 || src_[0]->ne[2] != src_[1]->ne[1] || src_[0]->ne[3] != src_[1]->ne[2] ||
        src_[1]->ne[3] != 1) {
      return nullptr;
    }
    return ggml_get_rows(ctx_, src_[0], src_[1]);
  }
  if (!has_sources(3) || !none_empty()) {
    return nullptr;
  }
  const ggml_tensor& from = *src_[0];
  const ggml_tensor& numbers = *src_[1];
  const ggml_tensor& to = *src_[2];
  const bool fits = from.ne[0] == to.ne[0] && from.ne[2] == to.ne[2] && from.ne[3] == to.ne[3] &&
                    from.ne[1] == numbers.ne[0] && divides(numbers.ne[1], from.ne[2]) &&
                    divides(numbers.ne[2], from.ne[3]) && numbers.ne[3] == 1;
  // Of F16 the kernel takes memory for one thread to bring it to another type.
  const bool types = from.type == GGML_TYPE_F32 ? is_plain(to.type) || ggml_is_quantized(to.type)
                                                : from.type == GGML_TYPE_F16 && to.type == GGML_TYPE_F16;
  const bool integers = numbers.type == GGML_TYPE_I32 || numbers.type == GGML_TYPE_I64;
  if (!fits || !types || !integers || !has_rows(from) || !has_rows(to)) {
    return nullptr;
  }
  return ggml_set_rows(ctx_, src_[2], src_[0], src_[1]);
}

Result<ggml_tensor*> make_layers_node(ggml_context* ctx, const ggml_tensor& asked, const LayersSources& sources) {
  return LayersNodeMaker(ctx, asked, sources).make();
}

ChosenRows chosen_rows(ggml_op op) {
  switch (op) {
    case GGML_OP_GET_ROWS:
      return {1, 0};
    case GGML_OP_SET_ROWS:
      return {1, 2};
    case GGML_OP_ADD_ID:
      return {2, 1};
    case GGML_OP_MUL_MAT_ID:
      return {2, 0, 2};
    default:
      return {};
  }
}

bool only_shows(ggml_op op) {
  return op == GGML_OP_VIEW || op == GGML_OP_RESHAPE || op == GGML_OP_PERMUTE || op == GGML_OP_TRANSPOSE;
}

// As ggml_graph_plan() has it.
uint64_t work_bytes(const ggml_tensor& node, uint32_t threads) {
  constexpr uint64_t kTile = 64;  // queries, and keys, of attention's tiles
  const auto rows = static_cast<uint64_t>(node.ne[0]) * sizeof(float) * threads;
  switch (node.op) {
    case GGML_OP_MUL_MAT:
      return node.src[0]->type == GGML_TYPE_F32 ? 0 : 2 * static_cast<uint64_t>(ggml_nelements(node.src[1]));
    case GGML_OP_FLASH_ATTN_EXT: {
      const auto keys = static_cast<uint64_t>(node.src[1]->ne[0]);
      const auto values = static_cast<uint64_t>(node.src[2]->ne[0]);
      const auto heads = static_cast<uint64_t>(node.src[0]->ne[2]);
      const uint64_t tiled = 2 * kTile * (keys + values + kTile);
      const uint64_t parts = heads * (2 + values) + keys + 2 * values;
      return std::max(tiled, parts) * sizeof(float) * threads;
    }
    case GGML_OP_SOFT_MAX:
    case GGML_OP_ROPE:
    case GGML_OP_CPY:
    case GGML_OP_DUP:
      return rows;
    default:
      return 0;
  }
}

}  // namespace hypura
