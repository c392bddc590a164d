#include "make_model/header.h"

#include <fmt/format.h>
#include <gguf.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/units.h"

namespace hypura {
namespace {

struct GgmlDeleter {
  void operator()(ggml_context* context) const { ggml_free(context); }
};

// The numbers that general.file_type gives the types; a label only.
uint32_t file_type(const Choice& choice) {
  if (choice.mixture != Mixture::kNone) {
    return choice.mixture == Mixture::kQ4KM ? 15 : 38;
  }
  switch (choice.type) {
    case GGML_TYPE_F16:
      return 1;
    case GGML_TYPE_Q4_0:
      return 2;
    case GGML_TYPE_Q8_0:
      return 7;
    case GGML_TYPE_Q2_K:
      return 10;
    case GGML_TYPE_Q4_K:
      return 14;
    default:
      return 18;
  }
}

// Writes the keys that start with the architecture's name.
class KeyWriter {
 public:
  KeyWriter(gguf_context* keys, std::string_view arch) : keys_(keys), prefix_(arch) {}

  void u32(std::string_view name, int64_t value) const {
    gguf_set_val_u32(keys_, key(name).c_str(), static_cast<uint32_t>(value));
  }
  void f32(std::string_view name, float value) const { gguf_set_val_f32(keys_, key(name).c_str(), value); }
  void flag(std::string_view name, bool value) const { gguf_set_val_bool(keys_, key(name).c_str(), value); }

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }

  gguf_context* keys_;
  std::string prefix_;
};

void set_expert_keys(const KeyWriter& write, const GeneratorPlan& plan) {
  const Arch arch = plan.choice.arch;
  const Shape& shape = plan.shape;
  if (shape.experts == 0) {
    return;
  }
  write.u32("expert_count", shape.experts);
  write.u32("expert_used_count", shape.experts_used);
  if (arch != Arch::kMixtral) {
    write.u32("expert_feed_forward_length", shape.expert_ff);
  }
  if (arch == Arch::kQwen2Moe) {
    write.u32("expert_shared_feed_forward_length", shape.ff);
  } else if (arch == Arch::kGptOss) {
    write.u32("attention.sliding_window", 128);
  } else if (has_shared_expert(arch)) {
    write.u32("expert_shared_feed_forward_length", shape.expert_ff);
  }
  if (arch == Arch::kFused || arch == Arch::kDeepSeek2 || arch == Arch::kGlm4Moe) {
    constexpr int64_t kSigmoidGating = 2;
    write.u32("expert_gating_func", kSigmoidGating);
    write.flag("expert_weights_norm", true);
    write.u32("leading_dense_block_count", leading_dense_layers(plan));
  }
  if (arch == Arch::kDeepSeek2 || arch == Arch::kGlm4Moe) {
    write.u32("expert_shared_count", 1);
    write.f32("expert_weights_scale", 1.0F);
  }
}

// All heads share one key, the latent vector with its rotated part, and one value, the vector itself.
void set_latent_keys(const KeyWriter& write, const Shape& shape) {
  const LatentShape latent = latent_shape(shape);
  write.u32("attention.q_lora_rank", latent.query_rank);
  write.u32("attention.kv_lora_rank", latent.rank);
  write.u32("attention.key_length", latent.rank + latent.rope);
  write.u32("attention.value_length", latent.rank);
  write.u32("attention.key_length_mla", shape.head_dim + latent.rope);
  write.u32("attention.value_length_mla", shape.head_dim);
  write.u32("rope.dimension_count", latent.rope);
}

void set_delta_keys(const KeyWriter& write, const Shape& shape) {
  const DeltaShape delta = delta_shape(shape);
  write.u32("full_attention_interval", kFullAttentionInterval);
  write.u32("ssm.conv_kernel", delta.convolution);
  write.u32("ssm.state_size", delta.state);
  write.u32("ssm.group_count", delta.key_heads);
  write.u32("ssm.time_step_rank", delta.value_heads);
  write.u32("ssm.inner_size", delta.state * delta.value_heads);
}

void set_attention_keys(const KeyWriter& write, Arch arch, const Shape& shape) {
  write.u32("attention.head_count", shape.heads);
  write.u32("attention.head_count_kv", shape.kv_heads);
  if (arch == Arch::kDeepSeek2) {
    set_latent_keys(write, shape);
    return;
  }
  write.u32("attention.key_length", shape.head_dim);
  write.u32("attention.value_length", shape.head_dim);
  const int64_t turned = arch == Arch::kGlm4Moe ? 2 : arch == Arch::kQwen3Next ? 4 : 1;  // one of so many numbers
  write.u32("rope.dimension_count", shape.head_dim / turned);
  if (arch == Arch::kQwen3Next) {
    set_delta_keys(write, shape);
  }
}

// Every second layer sees a window of the context.
void set_gemma4_keys(gguf_context* keys, const KeyWriter& write, const GeneratorPlan& plan) {
  constexpr int64_t kWindow = 128;
  write.u32("attention.sliding_window", kWindow);
  write.u32("attention.key_length_swa", plan.shape.head_dim);
  write.u32("attention.value_length_swa", plan.shape.head_dim);
  write.u32("rope.dimension_count_swa", plan.shape.head_dim);
  write.u32("embedding_length_per_layer_input", plan.spec.per_layer);
  std::vector<uint32_t> windowed;
  for (int64_t layer = 0; layer < plan.layers; ++layer) {
    windowed.push_back(layer % 2 == 0 ? 1 : 0);
  }
  gguf_set_arr_data(keys, "gemma4.attention.sliding_window_pattern", GGUF_TYPE_UINT32, windowed.data(),
                    windowed.size());
}

void set_model_keys(gguf_context* keys, const GeneratorPlan& plan, const Vocab& vocab) {
  const std::string arch(gguf_arch(plan.choice.arch));
  const Shape& shape = plan.shape;
  gguf_set_val_str(keys, "general.architecture", arch.c_str());
  gguf_set_val_str(keys, "general.type", "model");
  gguf_set_val_str(keys, "general.name", fmt::format("random {}", plan.spec.arch).c_str());
  gguf_set_val_u32(keys, "general.file_type", file_type(plan.choice));
  gguf_set_val_u32(keys, "general.quantization_version", GGML_QNT_VERSION);
  const KeyWriter write(keys, arch);
  write.u32("vocab_size", vocab.tokens);
  write.u32("context_length", plan.spec.context);
  write.u32("embedding_length", shape.embedding);
  write.u32("block_count", plan.layers + plan.spec.mtp);
  if (plan.spec.mtp > 0) {
    write.u32("nextn_predict_layers", plan.spec.mtp);
  }
  write.u32("feed_forward_length", shape.ff > 0 ? shape.ff : shape.expert_ff);
  set_attention_keys(write, plan.choice.arch, shape);
  write.f32("rope.freq_base", 10000.0F);
  write.f32("attention.layer_norm_rms_epsilon", 1e-5F);
  set_expert_keys(write, plan);
  if (plan.choice.arch == Arch::kGemma4) {
    set_gemma4_keys(keys, write, plan);
  }
  gguf_set_kv(keys, vocab.keys.get());
}

std::filesystem::path part_path(const ModelSpec& spec, size_t part) {
  if (spec.split <= 1) {
    return spec.output;
  }
  std::string prefix = spec.output.string();
  constexpr std::string_view kSuffix = ".gguf";
  if (prefix.ends_with(kSuffix)) {
    prefix.resize(prefix.size() - kSuffix.size());
  }
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part + 1, spec.split);
}

// Moves on to the next file when this one has its share, or when there are only as many tensors left as files.
void share_tensors(const GeneratorPlan& plan, std::vector<Part>& parts) {
  const uint64_t total = plan.tensor_bytes();
  uint64_t done = 0;
  size_t part = 0;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const uint64_t bytes = plan.tensors[i].bytes();
    const size_t parts_left = parts.size() - part;
    const bool full = done + bytes / 2 >= total / parts.size() * (part + 1);
    const bool must = plan.tensors.size() - i < parts_left;
    if (!parts[part].tensors.empty() && parts_left > 1 && (full || must)) {
      ++part;
    }
    parts[part].tensors.push_back(&plan.tensors[i]);
    done += bytes;
  }
}

void make_header(const GeneratorPlan& plan, const Vocab& vocab, size_t number, Part& part) {
  const KeysPtr keys(gguf_init_empty());
  if (number == 0) {
    set_model_keys(keys.get(), plan, vocab);
  }
  if (plan.spec.split > 1) {
    gguf_set_val_u16(keys.get(), "split.no", static_cast<uint16_t>(number));
    gguf_set_val_u16(keys.get(), "split.count", static_cast<uint16_t>(plan.spec.split));
    gguf_set_val_i32(keys.get(), "split.tensors.count", static_cast<int32_t>(plan.tensors.size()));
  }
  const std::unique_ptr<ggml_context, GgmlDeleter> context(ggml_init(
      {.mem_size = ggml_tensor_overhead() * (part.tensors.size() + 1), .mem_buffer = nullptr, .no_alloc = true}));
  for (const TensorPlan* planned : part.tensors) {
    ggml_tensor* tensor =
        ggml_new_tensor(context.get(), planned->type, static_cast<int>(planned->dims.size()), planned->dims.data());
    ggml_set_name(tensor, planned->name.c_str());
    gguf_add_tensor(keys.get(), tensor);
  }
  part.header.resize(gguf_get_meta_size(keys.get()));
  gguf_get_meta_data(keys.get(), part.header.data());
  part.bytes = part.header.size();
  for (size_t i = 0; i < part.tensors.size(); ++i) {
    part.offsets.push_back(gguf_get_tensor_offset(keys.get(), static_cast<int64_t>(i)));
    part.bytes += round_up(part.tensors[i]->bytes(), kTensorAlignment);
  }
}

}  // namespace

std::vector<Part> make_parts(const GeneratorPlan& plan, const Vocab& vocab) {
  std::vector<Part> parts(static_cast<size_t>(plan.spec.split));
  share_tensors(plan, parts);
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].path = part_path(plan.spec, i);
    make_header(plan, vocab, i, parts[i]);
  }
  return parts;
}

}  // namespace hypura
