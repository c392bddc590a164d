// What llama.cpp will allocate besides weights, and how wide its attention is, told from the header: good enough to
// choose a mode before loading. The real sizes are read from the context once it exists.
#pragma once

#include <cstdint>

#include "hypura/placement.h"
#include "model/model.h"

namespace hypura {

// Whether a KV cache of `type`, which is not kAuto, can hold the model's heads.
bool kv_type_fits(const Model& model, KvType type);

// Bytes of a KV cache of `context` tokens: keys and values of every layer's KV heads. An upper bound for models whose
// layers attend to a window.
uint64_t estimate_kv_bytes(const Model& model, uint32_t context, KvType type);

// Bytes of the state that layers without attention keep of a sequence, in all layers: an upper bound, of models that
// have such layers and of others. 0 for those that state no sizes of one.
double estimate_state_bytes(const Model& model);

// Bytes of what a context of `context` tokens keeps of `sequences` sequences: keys and values, the states of the layers
// that have them, and the keys of indexers.
uint64_t estimate_context_bytes(const Model& model, uint32_t context, KvType type, uint32_t sequences);

// Query heads times their width, the mean of keys' and values', over all layers: what a new token has to compute with
// each token that it attends to. An upper bound for models whose layers attend to a window.
double attention_width(const Model& model);

// Bytes of the compute buffer for `ubatch` tokens of which `outputs` give logits, with a context of `context` tokens.
uint64_t estimate_compute_bytes(const Model& model, uint32_t ubatch, uint32_t context, uint32_t outputs);

// Heap that llama.cpp keeps for the vocabulary: strings, maps and merges. Assumed, not measured: 230 bytes a token and
// 110 a merge.
uint64_t vocabulary_bytes(const Model& model);

}  // namespace hypura
