// What llama.cpp has for a model's MTP layers (multi-token prediction; its "nextn"): a second context on the model, the
// head, whose passes compute one of the layers from tokens and hidden states.
#pragma once

#include <cstddef>
#include <cstdint>

struct llama_context;
struct llama_model;

namespace hypura {

uint32_t mtp_layers(const llama_model& model);

// From now on passes give hidden states besides logits: those of `model` of each token, since the layers follow prompts
// too, those of `head` where logits are wanted.
void give_states(llama_context& model, llama_context& head);

// The hidden state after a row of the last pass, of embedding_width() numbers.
const float* state_at(llama_context& context, size_t row);

// The layer, from 0, that the head's next passes compute.
void use_mtp_layer(llama_context& head, uint32_t layer);

}  // namespace hypura
