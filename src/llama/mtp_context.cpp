#include "llama/mtp_context.h"

#include "llama-ext.h"

namespace hypura {

uint32_t mtp_layers(const llama_model& model) {
  return static_cast<uint32_t>(llama_model_n_layer_nextn(&model));
}

void give_states(llama_context& model, llama_context& head) {
  llama_set_embeddings_nextn(&model, true, false);
  llama_set_embeddings_nextn(&head, true, true);
}

const float* state_at(llama_context& context, size_t row) {
  return llama_get_embeddings_nextn_ith(&context, static_cast<int32_t>(row));
}

void use_mtp_layer(llama_context& head, uint32_t layer) {
  llama_set_nextn_layer_offset(&head, static_cast<int32_t>(layer));
}

}  // namespace hypura
