// What a model's headers say of it.
#pragma once

#include <string>

#include "hypura/generator.h"
#include "model/model.h"

struct gguf_context;

namespace hypura {

ModelCard make_model_card(const Model& model);

// Of which tokens a text's embedding is the mean. Models that say nothing are taken by all.
enum class Pooling { kMean, kFirst, kLast };
Pooling pooling_of(const Model& model);

// "83.7M", "8.0B".
std::string short_count(uint64_t count);

// The key-value pairs of a GGUF header as a JSON object, in their order. Arrays are cut at a million elements; a number
// that is none in JSON is null.
std::string metadata_json(const gguf_context& metadata);

}  // namespace hypura
