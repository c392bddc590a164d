#include "make_model/zero_model.h"

#include <fmt/format.h>
#include <ggml.h>

#include <memory>

namespace hypura {
namespace {

constexpr int64_t kInner = 128;  // of feed-forward parts and recurrent states

struct HeaderDeleter {
  void operator()(gguf_context* header) const { gguf_free(header); }
};
struct TensorsDeleter {
  void operator()(ggml_context* tensors) const { ggml_free(tensors); }
};

// <unk>, <s>, </s>, a token for each byte, two words: as SentencePiece has them.
void set_vocabulary(gguf_context* file) {
  constexpr int32_t kWord = 1;
  constexpr int32_t kUnknown = 2;
  constexpr int32_t kControl = 3;
  constexpr int32_t kByte = 6;
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    texts.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  texts.insert(texts.end(), {"\u2581a", "\u2581b"});
  types.insert(types.end(), {kWord, kWord});
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(text.c_str());
  }
  const std::vector<float> scores(texts.size(), -1.0F);
  gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
  gguf_set_arr_str(file, "tokenizer.ggml.tokens", pointers.data(), pointers.size());
  gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
  gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
  gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", 1);
  gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", 2);
}

// Heads of 32, an embedding, no layers' tensors yet.
ZeroModel with_attention(const std::string& architecture) {
  constexpr int64_t width = ZeroModel::kWidth;
  ZeroModel model(architecture);
  model.number("embedding_length", width).number("feed_forward_length", kInner);
  model.number("attention.head_count", 2).number("attention.head_count_kv", 2);
  model.tensor("token_embd.weight", {width, ZeroModel::kWords}).tensor("output_norm.weight", {width});
  return model;
}

void add_attention(ZeroModel& model) {
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    model.layer_tensor(fmt::format("{}.weight", name), {ZeroModel::kWidth, ZeroModel::kWidth});
  }
}

void add_dense(ZeroModel& model) {
  model.layer_tensor("ffn_gate.weight", {ZeroModel::kWidth, kInner});
  model.layer_tensor("ffn_up.weight", {ZeroModel::kWidth, kInner});
  model.layer_tensor("ffn_down.weight", {kInner, ZeroModel::kWidth});
}

}  // namespace

ZeroModel& ZeroModel::number(const std::string& key, uint32_t value) {
  numbers_.emplace_back(key, value);
  return *this;
}

ZeroModel& ZeroModel::tensor(const std::string& name, std::vector<int64_t> shape) {
  tensors_.push_back({name, std::move(shape)});
  return *this;
}

ZeroModel& ZeroModel::layer_tensor(const std::string& name, const std::vector<int64_t>& shape) {
  return tensor("blk.0." + name, shape).tensor("blk.1." + name, shape);
}

void ZeroModel::set_keys(gguf_context* file) const {
  const auto key = [this](const char* name) { return architecture_ + "." + name; };
  gguf_set_val_str(file, "general.architecture", architecture_.c_str());
  gguf_set_val_str(file, "general.name", "zeros");
  gguf_set_val_u32(file, key("context_length").c_str(), 512);
  gguf_set_val_u32(file, key("block_count").c_str(), 2);
  gguf_set_val_u32(file, key("vocab_size").c_str(), kWords);
  gguf_set_val_f32(file, key("attention.layer_norm_rms_epsilon").c_str(), 1e-5F);
  gguf_set_val_f32(file, key("attention.layer_norm_epsilon").c_str(), 1e-5F);
  for (const auto& [name, value] : numbers_) {
    gguf_set_val_u32(file, key(name.c_str()).c_str(), value);
  }
  set_vocabulary(file);
}

std::string ZeroModel::bytes(const Change& change, const Keeps& keeps) const {
  const std::unique_ptr<gguf_context, HeaderDeleter> file(gguf_init_empty());
  const std::unique_ptr<ggml_context, TensorsDeleter> context(
      ggml_init({(tensors_.size() + 1) * ggml_tensor_overhead(), nullptr, true}));
  set_keys(file.get());
  if (change) {
    change(file.get());
  }
  size_t data = 0;
  for (const Tensor& it : tensors_) {
    if (keeps && !keeps(it.name)) {
      continue;
    }
    ggml_tensor* made =
        ggml_new_tensor(context.get(), GGML_TYPE_F32, static_cast<int>(it.shape.size()), it.shape.data());
    ggml_set_name(made, it.name.c_str());
    gguf_add_tensor(file.get(), made);
    data += GGML_PAD(ggml_nbytes(made), gguf_get_alignment(file.get()));
  }
  std::string bytes(gguf_get_meta_size(file.get()), '\0');
  gguf_get_meta_data(file.get(), bytes.data());
  return bytes.append(data, '\0');
}

ZeroModel llama_like(const std::string& architecture) {
  ZeroModel model = with_attention(architecture);
  model.tensor("output.weight", {ZeroModel::kWidth, ZeroModel::kWords});
  model.layer_tensor("attn_norm.weight", {ZeroModel::kWidth}).layer_tensor("ffn_norm.weight", {ZeroModel::kWidth});
  add_attention(model);
  add_dense(model);
  return model;
}

ZeroModel zero_moe() {
  constexpr int64_t kExperts = 4;
  ZeroModel model = with_attention("llama");
  model.number("expert_count", kExperts).number("expert_used_count", 2);
  model.layer_tensor("attn_norm.weight", {ZeroModel::kWidth}).layer_tensor("ffn_norm.weight", {ZeroModel::kWidth});
  add_attention(model);
  model.layer_tensor("ffn_gate_inp.weight", {ZeroModel::kWidth, kExperts});
  model.layer_tensor("ffn_gate_exps.weight", {ZeroModel::kWidth, kInner, kExperts});
  model.layer_tensor("ffn_up_exps.weight", {ZeroModel::kWidth, kInner, kExperts});
  model.layer_tensor("ffn_down_exps.weight", {kInner, ZeroModel::kWidth, kExperts});
  return model;
}

ZeroModel zero_mamba() {
  constexpr int64_t width = ZeroModel::kWidth;
  constexpr int64_t kState = 16;
  constexpr int64_t kRank = 4;
  ZeroModel model("mamba");
  model.number("embedding_length", width).number("feed_forward_length", 0).number("attention.head_count", 0);
  model.number("ssm.conv_kernel", 4).number("ssm.inner_size", kInner);
  model.number("ssm.state_size", kState).number("ssm.time_step_rank", kRank);
  model.tensor("token_embd.weight", {width, ZeroModel::kWords}).tensor("output_norm.weight", {width});
  model.layer_tensor("attn_norm.weight", {width}).layer_tensor("ssm_in.weight", {width, 2 * kInner});
  model.layer_tensor("ssm_x.weight", {kInner, kRank + 2 * kState}).layer_tensor("ssm_dt.weight", {kRank, kInner});
  model.layer_tensor("ssm_dt.bias", {kInner}).layer_tensor("ssm_out.weight", {kInner, width});
  model.layer_tensor("ssm_conv1d.weight", {4, kInner}).layer_tensor("ssm_conv1d.bias", {kInner});
  model.layer_tensor("ssm_a", {kState, kInner}).layer_tensor("ssm_d", {kInner});
  return model;
}

ZeroModel zero_encoder() {
  constexpr int64_t width = ZeroModel::kWidth;
  constexpr int64_t kHead = width / 2;
  ZeroModel model = with_attention("gemma-embedding");
  model.number("attention.key_length", kHead).number("attention.value_length", kHead);
  model.number("attention.sliding_window", 64);
  add_attention(model);
  for (const char* name : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"}) {
    model.layer_tensor(fmt::format("{}.weight", name), {width});
  }
  model.layer_tensor("attn_q_norm.weight", {kHead}).layer_tensor("attn_k_norm.weight", {kHead});
  add_dense(model);
  return model;
}

ZeroModel zero_t5(bool decoder) {
  constexpr int64_t width = ZeroModel::kWidth;
  constexpr int64_t kBuckets = 8;
  ZeroModel model(decoder ? "t5" : "t5encoder");
  model.number("embedding_length", width).number("feed_forward_length", kInner);
  model.number("attention.head_count", 2).number("attention.head_count_kv", 2);
  model.number("attention.relative_buckets_count", kBuckets).number("decoder_start_token_id", 0);
  model.tensor("token_embd.weight", {width, ZeroModel::kWords});
  const auto add_side = [&](const std::string& side, const std::vector<std::string>& mixers) {
    for (int layer = 0; layer < 2; ++layer) {
      const std::string block = fmt::format("{}.blk.{}.", side, layer);
      for (const std::string& mixer : mixers) {
        for (const char* part : {"q", "k", "v", "o"}) {
          model.tensor(fmt::format("{}{}_{}.weight", block, mixer, part), {width, width});
        }
        model.tensor(block + mixer + "_norm.weight", {width});
        model.tensor(block + mixer + "_rel_b.weight", {2, kBuckets});
      }
      model.tensor(block + "ffn_norm.weight", {width}).tensor(block + "ffn_up.weight", {width, kInner});
      model.tensor(block + "ffn_gate.weight", {width, kInner}).tensor(block + "ffn_down.weight", {kInner, width});
    }
    model.tensor(side + ".output_norm.weight", {width});
  };
  add_side("enc", {"attn"});
  if (decoder) {
    add_side("dec", {"attn", "cross_attn"});
  }
  return model;
}

}  // namespace hypura
