#include "engine/memory_estimate.h"

#include <algorithm>
#include <string>

#include "gguf.h"

namespace hypura {

namespace {

// An integer key, or the largest element when it is an array; `otherwise` when it is missing or of another type.
int64_t number(const Model& model, const std::string& key, int64_t otherwise) {
  const gguf_context* metadata = model.metadata.get();
  const int64_t id = gguf_find_key(metadata, (model.architecture + "." + key).c_str());
  if (id < 0) {
    return otherwise;
  }
  switch (gguf_get_kv_type(metadata, id)) {
    case GGUF_TYPE_UINT32:
      return gguf_get_val_u32(metadata, id);
    case GGUF_TYPE_INT32:
      return gguf_get_val_i32(metadata, id);
    case GGUF_TYPE_ARRAY: {
      const gguf_type type = gguf_get_arr_type(metadata, id);
      if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32) {
        return otherwise;
      }
      const auto* values = static_cast<const int32_t*>(gguf_get_arr_data(metadata, id));
      return *std::max_element(values, values + gguf_get_arr_n(metadata, id));
    }
    default:
      return otherwise;
  }
}

}  // namespace

uint64_t estimate_kv_bytes(const Model& model, uint32_t context) {
  const int64_t heads = std::max<int64_t>(number(model, "attention.head_count", 1), 1);
  const int64_t kv_heads = number(model, "attention.head_count_kv", heads);
  const int64_t head = model.embedding_length / heads;
  const int64_t key = number(model, "attention.key_length", head);
  const int64_t value = number(model, "attention.value_length", head);
  return static_cast<uint64_t>(model.layers * kv_heads * (key + value) * 2) * context;
}

uint64_t estimate_compute_bytes(const Model& model, uint32_t ubatch, uint32_t outputs) {
  // The widest moment of a layer: inputs and outputs of the feed-forward matrices, in f32.
  const int64_t ff = number(model, "feed_forward_length", 4 * model.embedding_length);
  const int64_t expert_ff = number(model, "expert_feed_forward_length", 0) * std::max<int64_t>(model.experts_used, 1);
  const int64_t row = 8 * model.embedding_length + 3 * std::max(ff, expert_ff) +
                      (model.experts_used > 0 ? 2 * model.experts_used * model.embedding_length : 0);
  return static_cast<uint64_t>(row * 4) * ubatch + static_cast<uint64_t>(model.vocabulary * 4) * outputs;
}

uint64_t vocabulary_bytes(const Model& model) {
  const int64_t merges_key = gguf_find_key(model.metadata.get(), "tokenizer.ggml.merges");
  const uint64_t merges = merges_key < 0 ? 0 : gguf_get_arr_n(model.metadata.get(), merges_key);
  return static_cast<uint64_t>(model.vocabulary) * 230 + merges * 110;
}

}  // namespace hypura
