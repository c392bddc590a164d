// What a model's headers say of it.
#pragma once

#include <string>

#include "hypura/generator.h"
#include "model/model.h"

namespace hypura {

ModelCard make_model_card(const Model& model);

// "83.7M", "8.0B".
std::string short_count(uint64_t count);

}  // namespace hypura
