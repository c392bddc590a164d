#include "make_model/plan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

#include "support/fail.h"
#include "support/units.h"

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
constexpr int64_t kDefaultLayers = 4;
constexpr int64_t kMostMtp = 8;
constexpr int64_t kNoLayer = -1;

// The matrices through which a layer adds to the hidden state, and their biases.
bool adds_to_hidden_state(std::string_view name) {
  return name.find("attn_output") != std::string_view::npos || name.find("ffn_down") != std::string_view::npos;
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
    const bool down = name.find("ffn_down") != std::string::npos;
    const float deviation = gain / std::sqrt(static_cast<float>(dims[0]));
    add(std::move(name), down ? choice_.down_type : choice_.type, std::move(dims), Fill::kBlocks, deviation);
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
    const int64_t q = shape_.heads * shape_.head_dim;
    const int64_t kv = shape_.kv_heads * shape_.head_dim;
    norm("attn_norm.weight", shape_.embedding);
    matrix(in_layer("attn_q.weight"), {shape_.embedding, q}, 1.0F);
    matrix(in_layer("attn_k.weight"), {shape_.embedding, kv}, 1.0F);
    matrix(in_layer("attn_v.weight"), {shape_.embedding, kv}, 1.0F);
    matrix(in_layer("attn_output.weight"), {q, shape_.embedding}, kAttentionGain * branch_scale());
    if (choice_.arch == Arch::kQwen2Moe || choice_.arch == Arch::kGptOss) {
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
    if (choice_.arch == Arch::kQwen3Moe || choice_.arch == Arch::kFused || choice_.arch == Arch::kGemma4) {
      norm("attn_q_norm.weight", shape_.head_dim);
      norm("attn_k_norm.weight", shape_.head_dim);
    }
    norm(choice_.arch == Arch::kGptOss ? "post_attention_norm.weight" : "ffn_norm.weight", shape_.embedding);
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
    const bool leading_dense = choice_.arch == Arch::kFused && layer_ == 0 && shape_.layers > 1 && mtp_ == 0;
    if (shape_.experts == 0 || leading_dense) {
      gated("", shape_.ff);
      return;
    }
    router();
    experts();
    if (choice_.arch == Arch::kQwen2Moe) {
      noise("ffn_gate_inp_shexp.weight", {shape_.embedding}, 1.0F / std::sqrt(static_cast<float>(shape_.embedding)));
      gated("_shexp", shape_.ff);
    } else if (choice_.arch == Arch::kFused) {
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
  int64_t loud_layers_;
  std::vector<TensorPlan> tensors_;
  int64_t layer_ = kNoLayer;
};

uint64_t bytes_with_layers(GeneratorPlan plan, const Vocab& vocab, int64_t layers) {
  plan.shape.layers = layers;
  plan.tensors = Builder(plan, vocab).build();
  return plan.tensor_bytes();
}

// The number of layers that comes nearest to `size`; 0 when less than half a layer fits. Two and three layers are
// compared because the first may be of another kind.
int64_t layers_for(const GeneratorPlan& plan, const Vocab& vocab, uint64_t size) {
  const auto two = static_cast<double>(bytes_with_layers(plan, vocab, 2));
  const auto three = static_cast<double>(bytes_with_layers(plan, vocab, 3));
  return std::llround(2.0 + (static_cast<double>(size) - two) / (three - two));
}

// The first preset for which the number of layers is natural, or the last.
Status choose_shape(GeneratorPlan& plan, const Vocab& vocab) {
  const auto shapes = presets(plan.choice.arch);
  for (const auto& preset : shapes) {
    auto shape = resolve_shape(plan.spec, plan.choice, preset);
    if (!shape) {
      return propagate(shape.error());
    }
    plan.shape = *shape;
    if (plan.spec.size == 0) {
      plan.shape.layers = plan.shape.layers > 0 ? plan.shape.layers : kDefaultLayers;
      return {};
    }
    plan.shape.layers = layers_for(plan, vocab, plan.spec.size);
    if (plan.shape.layers <= preset.layers) {
      break;
    }
  }
  if (plan.shape.layers > presets(plan.choice.arch).back().layers) {
    return fail(ErrorCode::kUsage, "--size {} needs {} layers of this shape, more than llama.cpp loads; widen it",
                format_bytes(plan.spec.size), plan.shape.layers);
  }
  if (plan.shape.layers < 1) {
    return fail(ErrorCode::kUsage, "--size {} is too small: one layer and the vocabulary take {}",
                format_bytes(plan.spec.size), format_bytes(bytes_with_layers(plan, vocab, 1)));
  }
  return {};
}

Status check_mtp(const GeneratorPlan& plan) {
  const int64_t mtp = plan.spec.mtp;
  if (mtp == 0) {
    return {};
  }
  if (plan.choice.arch != Arch::kFused) {
    return fail(ErrorCode::kUsage, "--mtp is for --arch fused; --arch {} has no such layers here", plan.spec.arch);
  }
  if (mtp < 0 || mtp > kMostMtp) {
    return fail(ErrorCode::kUsage, "--mtp {} is out of range; give a number up to {}", mtp, kMostMtp);
  }
  if (plan.spec.keep_layers > 0) {
    return fail(ErrorCode::kUsage, "--keep-layers cuts off the layers that --mtp adds; leave one of them out");
  }
  return {};
}

// Needs the shape: the depth may be what --size has chosen.
Status check_depths(const GeneratorPlan& plan) {
  for (const auto& [flag, value] :
       {std::pair{"--quiet-after", plan.spec.quiet_after}, std::pair{"--keep-layers", plan.spec.keep_layers}}) {
    if (value < 0 || value > plan.shape.layers) {
      return fail(ErrorCode::kUsage, "{} {} is out of range; the whole model has {} layers, give a number up to that",
                  flag, value, plan.shape.layers);
    }
  }
  return {};
}

}  // namespace

uint64_t TensorPlan::values() const {
  uint64_t product = 1;
  for (const int64_t dim : dims) {
    product *= static_cast<uint64_t>(dim);
  }
  return product;
}

uint64_t TensorPlan::bytes() const {
  return rows() * ggml_row_size(type, dims[0]);
}

uint64_t GeneratorPlan::tensor_bytes() const {
  uint64_t sum = 0;
  for (const TensorPlan& tensor : tensors) {
    sum += round_up(tensor.bytes(), kTensorAlignment);
  }
  return sum;
}

uint64_t GeneratorPlan::parameters() const {
  uint64_t sum = 0;
  for (const TensorPlan& tensor : tensors) {
    sum += tensor.values();
  }
  return sum;
}

std::string_view gguf_arch(Arch arch) {
  switch (arch) {
    case Arch::kDense:
    case Arch::kMixtral:
      return "llama";
    case Arch::kQwen3Moe:
      return "qwen3moe";
    case Arch::kQwen2Moe:
      return "qwen2moe";
    case Arch::kGptOss:
      return "gpt-oss";
    case Arch::kFused:
      return "hy_v3";
    case Arch::kGemma4:
      return "gemma4";
  }
  return "llama";
}

Result<GeneratorPlan> plan_model(const ModelSpec& spec, const Vocab& vocab) {
  auto choice = parse_choice(spec);
  if (!choice) {
    return propagate(choice.error());
  }
  GeneratorPlan plan{.spec = spec, .choice = *choice, .shape = {}, .layers = 0, .tensors = {}, .whole = {}};
  if (auto status = choose_shape(plan, vocab); !status) {
    return propagate(status.error());
  }
  if (auto status = check_depths(plan); !status) {
    return propagate(status.error());
  }
  if (auto status = check_mtp(plan); !status) {
    return propagate(status.error());
  }
  plan.layers = spec.keep_layers > 0 ? spec.keep_layers : plan.shape.layers;
  plan.whole = Builder(plan, vocab).build();
  std::copy_if(plan.whole.begin(), plan.whole.end(), std::back_inserter(plan.tensors),
               [&](const TensorPlan& tensor) { return tensor.layer < plan.layers + spec.mtp; });
  if (spec.split > static_cast<int64_t>(plan.tensors.size())) {
    return fail(ErrorCode::kUsage, "--split {} asks for more parts than the model's {} tensors", spec.split,
                plan.tensors.size());
  }
  return plan;
}

}  // namespace hypura
