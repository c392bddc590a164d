#include "llama/open/memory_estimate.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ggml.h"
#include "gguf.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kContextStep = 256;  // llama.cpp rounds a context up to a multiple

// Integers under a key, one for each layer where the model has an array; empty when it is missing or of another type.
std::vector<int64_t> numbers(const Model& model, const std::string& key) {
  const gguf_context* metadata = model.metadata.get();
  const int64_t id = gguf_find_key(metadata, (model.architecture + "." + key).c_str());
  if (id < 0) {
    return {};
  }
  switch (gguf_get_kv_type(metadata, id)) {
    case GGUF_TYPE_UINT32:
      return {gguf_get_val_u32(metadata, id)};
    case GGUF_TYPE_INT32:
      return {gguf_get_val_i32(metadata, id)};
    case GGUF_TYPE_ARRAY: {
      const gguf_type type = gguf_get_arr_type(metadata, id);
      if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32) {
        return {};
      }
      const auto* values = static_cast<const int32_t*>(gguf_get_arr_data(metadata, id));
      return {values, values + gguf_get_arr_n(metadata, id)};
    }
    default:
      return {};
  }
}

// The largest of them; `otherwise` when there is none.
int64_t number(const Model& model, const std::string& key, int64_t otherwise) {
  const std::vector<int64_t> all = numbers(model, key);
  return all.empty() ? otherwise : *std::max_element(all.begin(), all.end());
}

struct HeadSizes {
  int64_t key = 0;
  int64_t value = 0;
};

HeadSizes head_sizes(const Model& model) {
  const int64_t head = model.embedding_length / std::max<int64_t>(number(model, "attention.head_count", 1), 1);
  return {number(model, "attention.key_length", head), number(model, "attention.value_length", head)};
}

// Multi-head latent attention: llama.cpp keeps the compressed keys only, and no values.
bool keeps_no_values(const Model& model) {
  return number(model, "attention.key_length_mla", 0) > 0;
}

// Layers whose state does not grow with the context (linear attention, state spaces, convolutions): all of them, and
// those that keep no keys besides.
struct StateLayers {
  int64_t all = 0;
  int64_t without_keys = 0;
};

StateLayers state_layers(const Model& model) {
  constexpr std::array<std::string_view, 3> kOfStates = {"ssm_", "time_mix_", "shortconv."};
  std::set<int> with_state;
  std::set<int> with_keys;
  for (const TensorInfo& tensor : model.tensors) {
    const std::string_view name =
        std::string_view(tensor.name).substr(tensor.name.find('.', 4) + 1);  // of "blk.3.name"
    if (tensor.layer < 0) {
      continue;
    }
    if (std::ranges::any_of(kOfStates, [&](std::string_view start) { return name.starts_with(start); })) {
      with_state.insert(tensor.layer);
    } else if (name.starts_with("attn_k.") || name.starts_with("attn_kv_")) {
      with_keys.insert(tensor.layer);
    }
  }
  const auto without = std::ranges::count_if(with_state, [&](int layer) { return !with_keys.contains(layer); });
  return {static_cast<int64_t>(with_state.size()), without};
}

ggml_type ggml_type_of(KvType type) {
  return type == KvType::kQ8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
}

}  // namespace

bool kv_type_fits(const Model& model, KvType type) {
  const HeadSizes heads = head_sizes(model);
  const int64_t block = ggml_blck_size(ggml_type_of(type));
  return heads.key % block == 0 && heads.value % block == 0;
}

uint64_t estimate_kv_bytes(const Model& model, uint32_t context, KvType type) {
  const HeadSizes heads = head_sizes(model);
  const std::vector<int64_t> by_layer = numbers(model, "attention.head_count_kv");
  int64_t kv_heads = (model.layers - state_layers(model).without_keys) *
                     number(model, "attention.head_count_kv", number(model, "attention.head_count", 1));
  if (by_layer.size() > 1) {
    kv_heads = std::accumulate(by_layer.begin(), by_layer.end(), int64_t{0});
  }
  const int64_t width = heads.key + (keeps_no_values(model) ? 0 : heads.value);
  const uint64_t row = ggml_row_size(ggml_type_of(type), std::max<int64_t>(kv_heads, 0) * width);
  return row * round_up(context, kContextStep);
}

double estimate_state_bytes(const Model& model) {
  const auto size = [&](const char* key, int64_t otherwise) {
    return static_cast<double>(static_cast<uint32_t>(number(model, key, otherwise)));  // as llama.cpp reads it
  };
  const auto width = static_cast<double>(model.embedding_length);
  const double heads = size("attention.head_count", 1);
  const double inner = size("ssm.inner_size", 0);
  const double state = size("ssm.state_size", 0);
  const double convolved = inner + 2 * size("ssm.group_count", 0) * state;
  const double linear = size("kda.head_dim", 0) * size("kda.head_dim", 0) * heads;
  const double states = state * inner + width * size("wkv.head_size", 0) + linear;
  const double shifts = size("ssm.conv_kernel", 0) * (convolved + 3 * heads * size("kda.head_dim", 0)) +
                        width * (size("token_shift_count", 0) + size("shortconv.l_cache", 0));
  return static_cast<double>(model.layers) * sizeof(float) * (states + shifts);
}

uint64_t estimate_context_bytes(const Model& model, uint32_t context, KvType type, uint32_t sequences) {
  const auto layers = static_cast<double>(std::max<int64_t>(model.layers, 1));
  const double states = estimate_state_bytes(model) * static_cast<double>(state_layers(model).all) / layers;
  // Keys of an indexer, by which sparse attention chooses its tokens: one head in each layer.
  const int64_t indexer = model.layers * number(model, "attention.indexer.key_length", 0);
  return estimate_kv_bytes(model, context, type) + static_cast<uint64_t>(states) * sequences +
         ggml_row_size(ggml_type_of(type), round_up(static_cast<uint64_t>(std::max<int64_t>(indexer, 0)), 32)) *
             round_up(context, kContextStep);
}

double attention_width(const Model& model) {
  const HeadSizes sizes = head_sizes(model);
  const std::vector<int64_t> by_layer = numbers(model, "attention.head_count");
  int64_t heads = model.layers * number(model, "attention.head_count", 1);
  if (by_layer.size() > 1) {
    heads = std::accumulate(by_layer.begin(), by_layer.end(), int64_t{0});
  }
  return static_cast<double>(std::max<int64_t>(heads, 0) * (sizes.key + sizes.value)) / 2;
}

uint64_t estimate_compute_bytes(const Model& model, uint32_t ubatch, uint32_t context, uint32_t outputs) {
  const int64_t width = model.embedding_length;
  const int64_t used = model.experts_used;
  const int64_t heads = number(model, "attention.head_count", 1) * head_sizes(model).key;
  const int64_t ff = number(model, "feed_forward_length", 4 * width);
  const int64_t expert_ff = number(model, "expert_feed_forward_length", used > 0 ? ff : 0);
  // Rows in f32 that are alive at a layer's widest moments: in attention; between the matrices of the feed-forward
  // part; in the sum over experts. These sums were read off what llama.cpp took for seven small models.
  const int64_t attention = 2 * width + 3 * heads;
  const int64_t feed_forward = 4 * width + 3 * (used > 0 ? used * expert_ff : ff);
  const int64_t experts_sum = 2 * (used + 1) * width;
  const int64_t row = std::max({attention, feed_forward, used > 0 ? experts_sum : 0});
  // The attention's mask, in f16; one more for layers that see a window only.
  const int64_t masks = number(model, "attention.sliding_window", 0) > 0 ? 2 : 1;
  const uint64_t mask = 2 * static_cast<uint64_t>(masks) * round_up(context, kContextStep);
  return (static_cast<uint64_t>(4 * row) + mask) * ubatch + static_cast<uint64_t>(model.vocabulary * 4) * outputs;
}

uint64_t vocabulary_bytes(const Model& model) {
  const int64_t merges_key = gguf_find_key(model.metadata.get(), "tokenizer.ggml.merges");
  const uint64_t merges = merges_key < 0 ? 0 : gguf_get_arr_n(model.metadata.get(), merges_key);
  return static_cast<uint64_t>(model.vocabulary) * 230 + merges * 110;
}

}  // namespace hypura
