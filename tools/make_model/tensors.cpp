#include "make_model/tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "make_model/mixture.h"

namespace hypura {
namespace {

// Embeddings share this constant component, in units of their deviation; every block of every other matrix sums to
// zero and so does not see it, but the routers do. It is what makes some experts popular (see router rows).
constexpr float kSharedMean = 1.0F;
// Deviation of the router's scores from token to token. At 1.28 (the Gumbel distribution's) one expert is drawn in
// proportion to its popularity; the normal distribution's thinner tails, and drawing several, need a little more.
constexpr float kRouterSpread = 1.6F;
// The part of the hidden state that tells tokens apart shrinks by this much towards the last layer (measured).
constexpr float kSpreadLoss = 0.16F;
// What averaging over positions, and silu(x) * y, take from a unit signal (measured): given back so that each branch
// adds its share and the model listens to its context.
constexpr float kAttentionGain = 3.0F;
constexpr float kFeedForwardGain = 1.7F;
constexpr float kBiasDeviation = 0.02F;
// Root mean square of an embedding: what its norm takes away before it comes into an MTP layer, and is given back
// there.
constexpr float kEmbeddingSize = 1.41421356F;
// What of a delta net's state a token leaves is e to the power of some 0.7 times this: most of it.
constexpr float kDecay = -0.3F;
constexpr float kDecayDeviation = 0.05F;
constexpr int64_t kNoLayer = -1;

// The matrices through which a layer adds to the hidden state, and their biases.
bool adds_to_hidden_state(std::string_view name) {
  return name.find("attn_output") != std::string_view::npos || name.find("ffn_down") != std::string_view::npos ||
         name.find("ssm_out") != std::string_view::npos;
}

// Collects the tensors of one model, layer by layer.
class Builder {
 public:
  Builder(const GeneratorPlan& plan, const Vocab& vocab)
      : shape_(plan.shape),
        choice_(plan.choice),
        vocab_(vocab),
        tied_(plan.spec.tied || plan.choice.arch == Arch::kGemma4),
        per_layer_(plan.spec.per_layer),
        mtp_(plan.spec.mtp),
        leading_dense_(leading_dense_layers(plan)),
        loud_layers_(plan.spec.quiet_after > 0 ? plan.spec.quiet_after : plan.shape.layers) {}

  std::vector<TensorPlan> build() {
    matrix("token_embd.weight", {shape_.embedding, vocab_.tokens}, 1.0F);
    tensors_.back().deviation = 1.0F;
    tensors_.back().mean = kSharedMean;
    if (choice_.arch == Arch::kGemma4) {
      per_layer_table();
    }
    for (layer_ = 0; layer_ < shape_.layers; ++layer_) {
      attention();
      feed_forward();
      if (choice_.arch == Arch::kGemma4) {
        per_layer_input();
      }
    }
    for (int64_t i = 0; i < mtp_; ++i) {
      predict_further(shape_.layers + i);
    }
    layer_ = kNoLayer;
    add("output_norm.weight", GGML_TYPE_F32, {shape_.embedding}, Fill::kNorm, 0.02F);
    if (!tied_) {
      matrix("output.weight", {shape_.embedding, vocab_.tokens}, 1.0F);
      tensors_.back().fill = Fill::kOutput;
    }
    number_rows();
    return std::move(tensors_);
  }

 private:
  // A copy has the numbers of its original, which comes before it.
  void number_rows() {
    uint64_t row = 0;
    for (TensorPlan& tensor : tensors_) {
      if (!tensor.copy_of.empty()) {
        const auto is_it = [&](const TensorPlan& other) { return other.name == tensor.copy_of; };
        tensor.first_row = std::find_if(tensors_.begin(), tensors_.end(), is_it)->first_row;
        continue;
      }
      tensor.first_row = row;
      row += tensor.rows();
    }
  }

  void add(std::string name, ggml_type type, std::vector<int64_t> dims, Fill fill, float deviation) {
    const bool quiet = layer_ >= loud_layers_ && adds_to_hidden_state(name);
    tensors_.push_back({.name = std::move(name),
                        .type = type,
                        .dims = std::move(dims),
                        .fill = fill,
                        .deviation = deviation,
                        .mean = 0.0F,
                        .share = quiet ? kQuietShare : 1.0F,
                        .layer = layer_,
                        .copy_of = {},
                        .first_row = 0});
  }

  std::string in_layer(std::string_view name) const { return fmt::format("blk.{}.{}", layer_, name); }

  void matrix(std::string name, std::vector<int64_t> dims, float gain) {
    const ggml_type type =
        type_of_matrix(choice_, {.name = name, .layer = layer_, .layers = shape_.layers, .row = dims[0]});
    const float deviation = gain / std::sqrt(static_cast<float>(dims[0]));
    add(std::move(name), type, std::move(dims), Fill::kBlocks, deviation);
  }

  void norm(std::string_view name, int64_t length) { add(in_layer(name), GGML_TYPE_F32, {length}, Fill::kNorm, 0.02F); }

  void noise(std::string_view name, std::vector<int64_t> dims, float deviation = kBiasDeviation) {
    add(in_layer(name), GGML_TYPE_F32, std::move(dims), Fill::kNoise, deviation);
  }

  // Each of the 2 * layers branches adds 1 / (2 * layers) of the embedding's variance.
  float branch_scale() const { return 1.0F / std::sqrt(2.0F * static_cast<float>(shape_.layers)); }

  // What the branches before this layer have added, 1 being what all of them add where no layer is quiet.
  float depth() const {
    const auto loud = static_cast<float>(std::min(layer_, loud_layers_));
    const float quiet = static_cast<float>(layer_) - loud;
    return (loud + kQuietShare * kQuietShare * quiet) / static_cast<float>(shape_.layers);
  }

  void attention() {
    norm("attn_norm.weight", shape_.embedding);
    if (choice_.arch == Arch::kDeepSeek2) {
      latent_attention();
    } else if (choice_.arch == Arch::kQwen3Next && !has_full_attention(layer_)) {
      delta_net();
    } else {
      full_attention();
    }
    const bool after =
        choice_.arch == Arch::kGptOss || choice_.arch == Arch::kGlm4Moe || choice_.arch == Arch::kQwen3Next;
    norm(after ? "post_attention_norm.weight" : "ffn_norm.weight", shape_.embedding);
  }

  // Keys and values come out of a short vector that all heads share (MLA), and so do queries, out of another.
  void latent_attention() {
    const LatentShape latent = latent_shape(shape_);
    const int64_t key = shape_.head_dim + latent.rope;
    matrix(in_layer("attn_q_a.weight"), {shape_.embedding, latent.query_rank}, 1.0F);
    norm("attn_q_a_norm.weight", latent.query_rank);
    matrix(in_layer("attn_q_b.weight"), {latent.query_rank, shape_.heads * key}, 1.0F);
    matrix(in_layer("attn_kv_a_mqa.weight"), {shape_.embedding, latent.rank + latent.rope}, 1.0F);
    norm("attn_kv_a_norm.weight", latent.rank);
    // It is multiplied from the other side, so that the sum is over the rank.
    const float transposed = std::sqrt(static_cast<float>(shape_.head_dim) / static_cast<float>(latent.rank));
    matrix(in_layer("attn_k_b.weight"), {shape_.head_dim, latent.rank, shape_.heads}, transposed);
    matrix(in_layer("attn_v_b.weight"), {latent.rank, shape_.head_dim, shape_.heads}, 1.0F);
    matrix(in_layer("attn_output.weight"), {shape_.heads * shape_.head_dim, shape_.embedding},
           kAttentionGain * branch_scale());
  }

  // A recurrent state in place of keys and values (a gated delta net).
  void delta_net() {
    const DeltaShape delta = delta_shape(shape_);
    const int64_t values = delta.state * delta.value_heads;
    const int64_t convolved = 2 * delta.state * delta.key_heads + values;
    matrix(in_layer("attn_qkv.weight"), {shape_.embedding, convolved}, 1.0F);
    matrix(in_layer("attn_gate.weight"), {shape_.embedding, values}, 1.0F);
    noise("ssm_conv1d.weight", {delta.convolution, convolved}, 1.0F / std::sqrt(static_cast<float>(delta.convolution)));
    noise("ssm_dt.bias", {delta.value_heads});
    noise("ssm_a", {delta.value_heads}, kDecayDeviation);
    tensors_.back().mean = kDecay;
    matrix(in_layer("ssm_ba.weight"), {shape_.embedding, 2 * delta.value_heads}, 1.0F);
    norm("ssm_norm.weight", delta.state);
    matrix(in_layer("ssm_out.weight"), {values, shape_.embedding}, kFeedForwardGain * branch_scale());
  }

  void full_attention() {
    const bool gated = choice_.arch == Arch::kQwen3Next;  // what each head gives: the other half of its queries
    const int64_t q = shape_.heads * shape_.head_dim;
    const int64_t kv = shape_.kv_heads * shape_.head_dim;
    matrix(in_layer("attn_q.weight"), {shape_.embedding, gated ? 2 * q : q}, 1.0F);
    matrix(in_layer("attn_k.weight"), {shape_.embedding, kv}, 1.0F);
    matrix(in_layer("attn_v.weight"), {shape_.embedding, kv}, 1.0F);
    matrix(in_layer("attn_output.weight"), {q, shape_.embedding}, (gated ? 2 : 1) * kAttentionGain * branch_scale());
    if (choice_.arch == Arch::kQwen2Moe || choice_.arch == Arch::kGptOss || choice_.arch == Arch::kGlm4Moe) {
      noise("attn_q.bias", {q});
      noise("attn_k.bias", {kv});
      noise("attn_v.bias", {kv});
    }
    if (choice_.arch == Arch::kGptOss) {
      noise("attn_output.bias", {shape_.embedding});
      noise("attn_sinks.weight", {shape_.heads}, 1.0F);
    }
    if (choice_.arch == Arch::kGemma4) {
      norm("post_attention_norm.weight", shape_.embedding);
    }
    if (choice_.arch == Arch::kQwen3Moe || choice_.arch == Arch::kFused || choice_.arch == Arch::kGemma4 || gated) {
      norm("attn_q_norm.weight", shape_.head_dim);
      norm("attn_k_norm.weight", shape_.head_dim);
    }
  }

  // Embeddings of a token for every layer, and what of its embedding for the first layer is added to them.
  void per_layer_table() {
    const int64_t width = per_layer_ * shape_.layers;
    matrix("per_layer_token_embd.weight", {width, vocab_.tokens}, 1.0F);
    tensors_.back().deviation = 1.0F;
    matrix("per_layer_model_proj.weight", {shape_.embedding, width}, 1.0F);
    add("per_layer_proj_norm.weight", GGML_TYPE_F32, {per_layer_}, Fill::kNorm, 0.02F);
    add("rope_freqs.weight", GGML_TYPE_F32, {shape_.head_dim / 2}, Fill::kNorm, 0.02F);
  }

  void per_layer_input() {
    norm("post_ffw_norm.weight", shape_.embedding);
    matrix(in_layer("inp_gate.weight"), {shape_.embedding, per_layer_}, 1.0F);
    matrix(in_layer("proj.weight"), {per_layer_, shape_.embedding}, 1.0F);
    norm("post_norm.weight", shape_.embedding);
  }

  void feed_forward() {
    if (shape_.experts == 0 || layer_ < leading_dense_) {
      gated("", shape_.ff);
      return;
    }
    router();
    experts();
    if (choice_.arch == Arch::kQwen2Moe || choice_.arch == Arch::kQwen3Next) {
      noise("ffn_gate_inp_shexp.weight", {shape_.embedding}, 1.0F / std::sqrt(static_cast<float>(shape_.embedding)));
    }
    if (choice_.arch == Arch::kQwen2Moe) {
      gated("_shexp", shape_.ff);
    } else if (has_shared_expert(choice_.arch)) {
      gated("_shexp", shape_.expert_ff);
    }
  }

  // An MTP layer: it sees the hidden state and the embedding of the token that came of it. It takes little but the
  // embedding, and does with it what the first layer does. Where the other layers are quiet that is nearly what the
  // model says.
  void predict_further(int64_t layer) {
    const size_t first = tensors_.size();
    layer_ = 0;
    attention();
    feed_forward();
    layer_ = layer;
    for (size_t i = first; i < tensors_.size(); ++i) {
      TensorPlan& tensor = tensors_[i];
      tensor.copy_of = std::exchange(tensor.name, in_layer(tensor.name.substr(std::string_view("blk.0.").size())));
      tensor.layer = layer;
    }
    add(in_layer("nextn.eh_proj.weight"), GGML_TYPE_F32, {2 * shape_.embedding, shape_.embedding}, Fill::kToken,
        kEmbeddingSize);
    norm("nextn.enorm.weight", shape_.embedding);
    norm("nextn.hnorm.weight", shape_.embedding);
  }

  void gated(std::string_view suffix, int64_t ff) {
    const float gain = kFeedForwardGain * branch_scale();
    matrix(in_layer(fmt::format("ffn_gate{}.weight", suffix)), {shape_.embedding, ff}, 1.0F);
    matrix(in_layer(fmt::format("ffn_up{}.weight", suffix)), {shape_.embedding, ff}, 1.0F);
    matrix(in_layer(fmt::format("ffn_down{}.weight", suffix)), {ff, shape_.embedding}, gain);
  }

  void router() {
    // The variance of the hidden state grows from 1 to 2 with depth, beside the shared mean.
    const float mean = kSharedMean / std::sqrt(kSharedMean * kSharedMean + 1.0F + depth());
    const float spread = kRouterSpread / ((1.0F - kSpreadLoss * depth()) * std::sqrt(1.0F - mean * mean));
    add(in_layer("ffn_gate_inp.weight"), GGML_TYPE_F32, {shape_.embedding, shape_.experts}, Fill::kRouter,
        spread / std::sqrt(static_cast<float>(shape_.embedding)));
    tensors_.back().mean = mean;
    if (choice_.arch == Arch::kGptOss) {
      noise("ffn_gate_inp.bias", {shape_.experts});
    } else if (choice_.arch == Arch::kFused) {
      noise("exp_probs_b", {shape_.experts}, 0.001F);
    } else if (choice_.arch == Arch::kDeepSeek2 || choice_.arch == Arch::kGlm4Moe) {
      noise("exp_probs_b.bias", {shape_.experts}, 0.001F);
    }
  }

  void experts() {
    const int64_t n = shape_.experts;
    // The weighted mean of several independent experts is smaller than one of them.
    const float gain = kFeedForwardGain * std::sqrt(static_cast<float>(shape_.experts_used)) * branch_scale();
    if (choice_.arch == Arch::kFused) {
      matrix(in_layer("ffn_gate_up_exps.weight"), {shape_.embedding, 2 * shape_.expert_ff, n}, 1.0F);
    } else {
      matrix(in_layer("ffn_gate_exps.weight"), {shape_.embedding, shape_.expert_ff, n}, 1.0F);
      matrix(in_layer("ffn_up_exps.weight"), {shape_.embedding, shape_.expert_ff, n}, 1.0F);
    }
    matrix(in_layer("ffn_down_exps.weight"), {shape_.expert_ff, shape_.embedding, n}, gain);
    if (choice_.arch == Arch::kGptOss) {
      noise("ffn_gate_exps.bias", {shape_.expert_ff, n});
      noise("ffn_up_exps.bias", {shape_.expert_ff, n});
      noise("ffn_down_exps.bias", {shape_.embedding, n});
    }
  }

  const Shape& shape_;
  const Choice& choice_;
  const Vocab& vocab_;
  bool tied_;
  int64_t per_layer_;
  int64_t mtp_;
  int64_t leading_dense_;
  int64_t loud_layers_;
  std::vector<TensorPlan> tensors_;
  int64_t layer_ = kNoLayer;
};

}  // namespace

std::vector<TensorPlan> plan_tensors(const GeneratorPlan& plan, const Vocab& vocab) {
  return Builder(plan, vocab).build();
}

}  // namespace hypura
