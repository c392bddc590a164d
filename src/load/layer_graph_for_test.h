// For tests and for fuzzing: graphs of whole layers as llama.cpp makes them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "model/model.h"

namespace hypura {

// Which of what llama.cpp's models have a graph has.
struct LayerKind {
  bool flash = true;
  int64_t tokens = 5;
  ggml_type cache = GGML_TYPE_F16;
  bool biases = false;      // of the products of attention
  bool head_norms = false;  // of queries and keys
  bool layer_norm = false;  // in the place of RMS norm, with a bias
  bool post_norms = false;  // of what is added to the residual
  bool parallel = false;    // the feed-forward part is computed of what attention is
  bool soft_cap = false;    // of scores
  bool sinks = false;       // of attention
  bool factors = false;     // of positions
  bool neox = true;         // the order of what is turned
  bool float_mask = false;  // without flash
  bool fused_gate = false;  // gate and up are halves of one
  int64_t outputs = -1;     // rows that the last layer goes on with; -1: all
  int layers = 2;
};

// The same of the part with experts of a layer.
struct ExpertKind {
  int64_t tokens = 5;
  int64_t used = 4;
  int64_t groups = 0;   // of experts, of which the best two are chosen first
  bool biases = false;  // of the router, of what it chooses by, and of the experts
  bool softmax = true;  // of all scores; else sigmoid
  bool late = false;    // softmax of the chosen ones alone
  bool normed = true;   // weights add up to one
  float scale = 1;
  int layers = 1;
};

// A graph, and its memory of one kind.
class LayerGraph {
 public:
  static constexpr int64_t kCells = 640;  // of a cache
  static constexpr int64_t kUsed = 576;   // of these, that attention looks at
  static constexpr int64_t kHeads = 4;
  static constexpr int64_t kCacheHeads = 2;
  static constexpr int64_t kHead = 64;
  static constexpr int64_t kWidth = kHeads * kHead;
  static constexpr int64_t kCacheWidth = kCacheHeads * kHead;

  // `weight` gives the data of a tensor of the model; nullptr: it has none, as on a client's side.
  using Weight = std::function<void*(const TensorInfo&)>;

  LayerGraph(const Model& model, ggml_backend_buffer_type_t type, Weight weight)
      : model_(model), type_(type), weight_(std::move(weight)) {
    inputs_.reset(ggml_init({256 * ggml_tensor_overhead(), nullptr, true}));
    nodes_.reset(ggml_init({1024 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, true}));
    graph_ = ggml_new_graph(nodes_.get());
  }

  // What attention and the rest of some layers make of an input.
  void build(const LayerKind& kind) {
    kind_ = kind;
    ggml_context* ctx = nodes_.get();
    ggml_tensor* cur = input(GGML_TYPE_F32, {kWidth, kind.tokens});
    for (int i = 0; i < kind.layers; ++i) {
      layer_ = i;
      const bool choose = kind.outputs >= 0 && i + 1 == kind.layers;
      ggml_tensor* ids = choose ? rows(GGML_TYPE_I32, kind.outputs, kind.tokens) : nullptr;
      ggml_tensor* normed = norm(cur, "attn_norm");
      ggml_tensor* attended = attention(normed);
      if (ids != nullptr) {
        attended = ggml_get_rows(ctx, attended, ids);
        cur = ggml_get_rows(ctx, cur, ids);
        normed = ggml_get_rows(ctx, normed, ids);
      }
      attended = kind.post_norms ? ggml_mul(ctx, rms(attended), input(GGML_TYPE_F32, {kWidth})) : attended;
      ggml_tensor* after = kind.parallel ? attended : ggml_add(ctx, attended, cur);
      ggml_tensor* fed = feed_forward(kind.parallel ? normed : norm(after, "ffn_norm"));
      fed = kind.post_norms ? ggml_mul(ctx, rms(fed), input(GGML_TYPE_F32, {kWidth})) : fed;
      cur = ggml_add(ctx, fed, after);
      cur = kind.parallel ? ggml_add(ctx, cur, residual(cur)) : cur;
    }
    finish(cur);
  }

  // What the experts of some layers make of an input, added to it, as llama.cpp's build_moe_ffn() has it.
  void build(const ExpertKind& kind) {
    const auto width = model_.find("blk.0.ffn_gate_inp.weight")->shape[0];
    ggml_tensor* cur = input(GGML_TYPE_F32, {width, kind.tokens});
    for (int i = 0; i < kind.layers; ++i) {
      layer_ = i;
      cur = ggml_add(nodes_.get(), experts(kind, rms(cur)), cur);
    }
    finish(cur);
  }

  // Turns the keys of a cache by other positions, as llama.cpp does when its context moves on.
  void build_shift(ggml_type type) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* cache = input(type, {kCacheWidth, kCells});
    ggml_tensor* shift = rows(GGML_TYPE_I32, kCells, 8);
    ggml_tensor* keys = ggml_view_3d(ctx, cache, kHead, kCacheHeads, kCells, ggml_row_size(type, kHead),
                                     ggml_row_size(type, kCacheWidth), 0);
    if (ggml_is_quantized(type)) {
      ggml_tensor* turned = turn(ggml_cast(ctx, keys, GGML_TYPE_F32), shift, nullptr);
      finish(ggml_cpy(ctx, turned, keys));
    } else {
      finish(ggml_rope_ext_inplace(ctx, keys, shift, nullptr, kHead, GGML_ROPE_TYPE_NEOX, 1024, 10000, 1, 0, 1, 32, 1));
    }
  }

  ggml_cgraph* graph() { return graph_; }
  ggml_tensor* result() { return result_; }
  const std::vector<ggml_tensor*>& inputs() const { return all_inputs_; }
  const std::vector<ggml_tensor*>& weights() const { return weights_; }

  // The first node of that operation, from the `skip`th on.
  ggml_tensor& node(ggml_op op, int skip = 0) {
    for (int i = 0; i < ggml_graph_n_nodes(graph_); ++i) {
      ggml_tensor* it = ggml_graph_node(graph_, i);
      if (it->op == op && skip-- == 0) {
        return *it;
      }
    }
    std::abort();
  }

  // Of all memory, as it is now.
  std::vector<std::vector<std::byte>> contents() const {
    std::vector<std::vector<std::byte>> all;
    for (const ggml_tensor* it : all_inputs_) {
      ggml_backend_tensor_get(it, all.emplace_back(ggml_nbytes(it)).data(), 0, ggml_nbytes(it));
    }
    if (!ggml_is_empty(result_)) {
      ggml_backend_tensor_get(result_, all.emplace_back(ggml_nbytes(result_)).data(), 0, ggml_nbytes(result_));
    }
    return all;
  }

 private:
  ggml_tensor* input(ggml_type type, std::vector<int64_t> ne) {
    ggml_tensor* made = ggml_new_tensor(inputs_.get(), type, static_cast<int>(ne.size()), ne.data());
    all_inputs_.push_back(made);
    bounds_.push_back(0);
    return made;
  }

  // Numbers below a bound; of rows that are written ascending ones, which are not written twice.
  ggml_tensor* rows(ggml_type type, int64_t count, int64_t below) {
    ggml_tensor* made = input(type, {count});
    bounds_.back() = below;
    return made;
  }

  ggml_tensor* weight(const std::string& part) {
    const TensorInfo& info = *model_.find("blk." + std::to_string(layer_) + "." + part + ".weight");
    ggml_tensor* made = ggml_new_tensor_3d(nodes_.get(), static_cast<ggml_type>(info.type), info.shape[0],
                                           info.shape[1], info.shape[2]);
    ggml_set_name(made, info.name.c_str());
    made->data = weight_(info);
    if (made->data == nullptr) {
      made->data = &missing_;  // so that nobody allocates it
      weights_.push_back(made);
    }
    return made;
  }

  ggml_tensor* rms(ggml_tensor* cur) { return ggml_rms_norm(nodes_.get(), cur, 1e-5F); }

  ggml_tensor* norm(ggml_tensor* cur, const std::string& part) {
    if (!kind_.layer_norm) {
      return ggml_mul(nodes_.get(), rms(cur), weight(part));
    }
    cur = ggml_mul(nodes_.get(), ggml_norm(nodes_.get(), cur, 1e-5F), weight(part));
    return ggml_add(nodes_.get(), cur, input(GGML_TYPE_F32, {kWidth}));
  }

  ggml_tensor* product(const std::string& part, ggml_tensor* cur) {
    cur = ggml_mul_mat(nodes_.get(), weight(part), cur);
    return kind_.biases ? ggml_add(nodes_.get(), cur, input(GGML_TYPE_F32, {cur->ne[0]})) : cur;
  }

  ggml_tensor* turn(ggml_tensor* cur, ggml_tensor* positions, ggml_tensor* factors) {
    return ggml_rope_ext(nodes_.get(), cur, positions, factors, kHead,
                         kind_.neox ? GGML_ROPE_TYPE_NEOX : GGML_ROPE_TYPE_NORMAL, 1024, 10000, 1, 0, 1, 32, 1);
  }

  // The other half of what a parallel layer adds.
  ggml_tensor* residual(ggml_tensor* cur) { return ggml_scale(nodes_.get(), cur, 0.5F); }

  ggml_tensor* attention(ggml_tensor* cur) {
    ggml_context* ctx = nodes_.get();
    const int64_t tokens = kind_.tokens;
    ggml_tensor* positions = rows(GGML_TYPE_I32, tokens, kCells);
    ggml_tensor* factors = kind_.factors ? input(GGML_TYPE_F32, {kHead / 2}) : nullptr;
    ggml_tensor* q = ggml_reshape_3d(ctx, product("attn_q", cur), kHead, kHeads, tokens);
    ggml_tensor* k = ggml_reshape_3d(ctx, product("attn_k", cur), kHead, kCacheHeads, tokens);
    ggml_tensor* v = ggml_reshape_3d(ctx, product("attn_v", cur), kHead, kCacheHeads, tokens);
    if (kind_.head_norms) {
      q = ggml_mul(ctx, rms(q), input(GGML_TYPE_F32, {kHead}));
      k = ggml_mul(ctx, rms(k), input(GGML_TYPE_F32, {kHead}));
    }
    q = turn(q, positions, factors);
    k = turn(k, positions, factors);
    for (ggml_tensor* it : {q, k, v}) {
      ggml_build_forward_expand(graph_, it);
    }
    ggml_tensor* keys = store(k, true);
    ggml_tensor* values = store(v, kind_.flash);
    q = ggml_view_4d(ctx, q, q->ne[0], q->ne[1], q->ne[2], 1, q->nb[1], q->nb[2], q->nb[3], 0);
    q = ggml_permute(ctx, q, 0, 2, 1, 3);
    keys = ggml_permute(ctx, keys, 0, 2, 1, 3);
    values = ggml_permute(ctx, values, 0, 2, 1, 3);
    cur = kind_.flash ? flash(q, keys, values) : scores(q, keys, values);
    ggml_build_forward_expand(graph_, cur);
    return product("attn_output", cur);
  }

  // Into a cache, and what attention sees of it: rows of a cell, or with `by_rows` false of a number in all cells.
  ggml_tensor* store(ggml_tensor* cur, bool by_rows) {
    ggml_context* ctx = nodes_.get();
    const ggml_type type = kind_.cache;
    ggml_tensor* cache = input(type, {kCacheWidth, kCells, 1});
    if (by_rows) {
      ggml_tensor* flat = ggml_view_2d(ctx, cur, kCacheWidth, kind_.tokens, cur->nb[2], 0);
      ggml_build_forward_expand(graph_, ggml_set_rows(ctx, cache, flat, rows(GGML_TYPE_I64, kind_.tokens, kUsed)));
      return ggml_view_4d(ctx, cache, kHead, kCacheHeads, kUsed, 1, ggml_row_size(type, kHead),
                          ggml_row_size(type, kCacheWidth), ggml_row_size(type, kCacheWidth * kCells), 0);
    }
    const int64_t count = kCacheWidth * kind_.tokens;
    ggml_tensor* target = ggml_reshape_2d(ctx, cache, 1, ggml_nelements(cache));
    ggml_tensor* flat = ggml_reshape_2d(ctx, cur, 1, count);
    ggml_tensor* places = rows(GGML_TYPE_I64, count, ggml_nelements(cache));
    ggml_build_forward_expand(graph_, ggml_set_rows(ctx, target, flat, places));
    return ggml_view_4d(ctx, cache, kUsed, kCacheHeads, kHead, 1, ggml_row_size(type, kCells * kHead),
                        ggml_row_size(type, kCells), ggml_row_size(type, kCells * kCacheWidth), 0);
  }

  ggml_tensor* flash(ggml_tensor* q, ggml_tensor* k, ggml_tensor* v) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* mask = input(GGML_TYPE_F16, {kUsed, kind_.tokens, 1, 1});
    ggml_tensor* cur = ggml_flash_attn_ext(ctx, q, k, v, mask, 0.125F, 0, kind_.soft_cap ? 30.0F : 0);
    ggml_flash_attn_ext_add_sinks(cur, kind_.sinks ? input(GGML_TYPE_F32, {kHeads}) : nullptr);
    ggml_flash_attn_ext_set_n_kv_max(cur, kCells);
    ggml_prec_set_acc(cur, GGML_PREC_F32);
    return ggml_reshape_2d(ctx, cur, cur->ne[0] * cur->ne[1], cur->ne[2] * cur->ne[3]);
  }

  ggml_tensor* scores(ggml_tensor* q, ggml_tensor* k, ggml_tensor* v) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* cur = ggml_mul_mat(ctx, k, q);
    ggml_prec_set_acc(cur, GGML_PREC_F32);
    if (kind_.soft_cap) {
      cur = ggml_scale(ctx, ggml_tanh(ctx, ggml_scale(ctx, cur, 1 / 30.0F)), 30.0F);
    }
    const ggml_type of_mask = kind_.float_mask ? GGML_TYPE_F32 : GGML_TYPE_F16;
    cur = ggml_soft_max_ext(ctx, cur, input(of_mask, {kUsed, kind_.tokens, 1, 1}), 0.125F, 0);
    ggml_soft_max_add_sinks(cur, kind_.sinks ? input(GGML_TYPE_F32, {kHeads}) : nullptr);
    cur = ggml_permute(ctx, ggml_mul_mat(ctx, v, cur), 0, 2, 1, 3);
    return ggml_cont_2d(ctx, cur, cur->ne[0] * cur->ne[1], cur->ne[2] * cur->ne[3]);
  }

  ggml_tensor* feed_forward(ggml_tensor* cur) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* up = ggml_mul_mat(ctx, weight("ffn_up"), cur);
    ggml_tensor* gate = ggml_mul_mat(ctx, weight("ffn_gate"), cur);
    ggml_tensor* both =
        kind_.fused_gate ? ggml_swiglu(ctx, ggml_concat(ctx, gate, up, 0)) : ggml_swiglu_split(ctx, gate, up);
    return ggml_mul_mat(ctx, weight("ffn_down"), both);
  }

  // The best two groups by their best two scores; all others are never chosen.
  ggml_tensor* only_best_groups(const ExpertKind& kind, ggml_tensor* scores) {
    ggml_context* ctx = nodes_.get();
    const int64_t experts = scores->ne[0];
    ggml_tensor* groups = ggml_reshape_3d(ctx, scores, experts / kind.groups, kind.groups, kind.tokens);
    ggml_tensor* best = ggml_argsort_top_k(ctx, groups, 2);
    best = ggml_get_rows(ctx, ggml_reshape_4d(ctx, groups, 1, groups->ne[0], groups->ne[1], groups->ne[2]), best);
    best = ggml_sum_rows(ctx, ggml_reshape_3d(ctx, best, best->ne[1], best->ne[2], best->ne[3]));
    ggml_tensor* chosen = ggml_argsort_top_k(ctx, ggml_reshape_2d(ctx, best, best->ne[1], best->ne[2]), 2);
    ggml_tensor* kept = ggml_get_rows(ctx, groups, chosen);
    kept = ggml_set_rows(ctx, ggml_fill(ctx, groups, -std::numeric_limits<float>::infinity()), kept, chosen);
    return ggml_reshape_2d(ctx, kept, experts, kind.tokens);
  }

  ggml_tensor* weights_of(const ExpertKind& kind, ggml_tensor* scores, ggml_tensor* chosen) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* all = ggml_reshape_3d(ctx, scores, 1, scores->ne[0], kind.tokens);
    ggml_tensor* weights = ggml_reshape_2d(ctx, ggml_get_rows(ctx, all, chosen), kind.used, kind.tokens);
    weights = kind.late ? ggml_soft_max(ctx, weights) : weights;
    if (kind.normed) {
      weights = ggml_div(
          ctx, weights,
          ggml_clamp(ctx, ggml_sum_rows(ctx, weights), 6.103515625e-5F, std::numeric_limits<float>::infinity()));
    }
    weights = ggml_reshape_3d(ctx, weights, 1, kind.used, kind.tokens);
    return kind.scale == 1 ? weights : ggml_scale(ctx, weights, kind.scale);
  }

  ggml_tensor* by_experts(const ExpertKind& kind, const std::string& part, ggml_tensor* cur, ggml_tensor* chosen) {
    ggml_tensor* matrices = weight(part);
    cur = ggml_mul_mat_id(nodes_.get(), matrices, cur, chosen);
    return kind.biases ? ggml_add_id(nodes_.get(), cur, input(GGML_TYPE_F32, {cur->ne[0], matrices->ne[2]}), chosen)
                       : cur;
  }

  ggml_tensor* experts(const ExpertKind& kind, ggml_tensor* cur) {
    ggml_context* ctx = nodes_.get();
    ggml_tensor* scores = ggml_mul_mat(ctx, weight("ffn_gate_inp"), cur);
    const int64_t all = scores->ne[0];
    scores = kind.biases ? ggml_add(ctx, scores, input(GGML_TYPE_F32, {all})) : scores;
    scores = kind.late ? scores : (kind.softmax ? ggml_soft_max(ctx, scores) : ggml_sigmoid(ctx, scores));
    ggml_tensor* by = kind.biases ? ggml_add(ctx, scores, input(GGML_TYPE_F32, {all})) : scores;
    by = kind.groups > 0 ? only_best_groups(kind, by) : by;
    ggml_tensor* chosen = ggml_argsort_top_k(ctx, by, static_cast<int>(kind.used));
    ggml_tensor* weights = weights_of(kind, scores, chosen);
    ggml_build_forward_expand(graph_, weights);
    cur = ggml_reshape_3d(ctx, cur, cur->ne[0], 1, kind.tokens);
    ggml_tensor* up = by_experts(kind, "ffn_up_exps", cur, chosen);
    ggml_tensor* gate = by_experts(kind, "ffn_gate_exps", cur, chosen);
    cur = by_experts(kind, "ffn_down_exps", ggml_swiglu_split(ctx, gate, up), chosen);
    cur = ggml_mul(ctx, cur, weights);
    ggml_build_forward_expand(graph_, cur);
    ggml_tensor* sum = nullptr;
    for (int64_t i = 0; i < kind.used; ++i) {
      ggml_tensor* one =
          ggml_view_2d(ctx, cur, cur->ne[0], kind.tokens, cur->nb[2], static_cast<size_t>(i) * cur->nb[1]);
      sum = sum == nullptr ? one : ggml_add(ctx, sum, one);
    }
    return kind.used == 1 ? ggml_cont(ctx, sum) : sum;
  }

  // Takes memory, as ggml's scheduler does, so that nodes that are used no more give theirs to others.
  void finish(ggml_tensor* cur) {
    result_ = cur;
    ggml_set_output(cur);
    ggml_build_forward_expand(graph_, cur);
    memory_.reset(ggml_backend_alloc_ctx_tensors_from_buft(inputs_.get(), type_));
    allocator_.reset(ggml_gallocr_new(type_));
    ggml_gallocr_alloc_graph(allocator_.get(), graph_);
    for (ggml_tensor* it : weights_) {
      it->data = nullptr;
    }
    fill();
  }

  // The same for every graph of the kind.
  void fill() {
    std::mt19937 generator(7);
    std::normal_distribution<float> numbers;
    for (size_t i = 0; i < all_inputs_.size(); ++i) {
      ggml_tensor* it = all_inputs_[i];
      const auto count = static_cast<size_t>(ggml_nelements(it));
      std::vector<std::byte> bytes(ggml_nbytes(it));
      const auto number = [&](size_t n) { return static_cast<int64_t>(n * 3) % std::max<int64_t>(bounds_[i], 1); };
      if (it->type == GGML_TYPE_I32 || it->type == GGML_TYPE_I64) {
        for (size_t n = 0; n < count; ++n) {
          const int64_t value =
              count <= static_cast<size_t>(bounds_[i]) / 3 ? number(n) : static_cast<int64_t>(n) % bounds_[i];
          const auto narrow = static_cast<int32_t>(value);
          const bool wide = it->type == GGML_TYPE_I64;
          std::memcpy(bytes.data() + n * (wide ? 8 : 4), wide ? static_cast<const void*>(&value) : &narrow,
                      wide ? 8 : 4);
        }
      } else {
        std::vector<float> values(count);
        std::ranges::generate(values, [&] { return numbers(generator); });
        if (it->type == GGML_TYPE_F32) {
          std::memcpy(bytes.data(), values.data(), bytes.size());
        } else if (it->type == GGML_TYPE_F16) {
          ggml_fp32_to_fp16_row(values.data(), reinterpret_cast<ggml_fp16_t*>(bytes.data()), ggml_nelements(it));
        } else {
          ggml_quantize_chunk(it->type, values.data(), bytes.data(), 0, ggml_nrows(it), it->ne[0], nullptr);
        }
      }
      if (!bytes.empty()) {
        ggml_backend_tensor_set(it, bytes.data(), 0, bytes.size());
      }
    }
  }

  const Model& model_;
  ggml_backend_buffer_type_t type_;
  Weight weight_;
  LayerKind kind_;
  int layer_ = 0;
  char missing_ = 0;
  ggml_context_ptr inputs_;
  ggml_context_ptr nodes_;
  ggml_backend_buffer_ptr memory_;
  ggml_gallocr_ptr allocator_;
  ggml_cgraph* graph_ = nullptr;
  ggml_tensor* result_ = nullptr;
  std::vector<ggml_tensor*> all_inputs_;
  std::vector<int64_t> bounds_;  // of integers
  std::vector<ggml_tensor*> weights_;
};

}  // namespace hypura
