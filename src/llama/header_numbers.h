// What llama.cpp understands by some numbers in a model's header.
#pragma once

#include <cstdint>
#include <string>

#include "model/model.h"

namespace hypura {

// "Q4_K_M", of "general.file_type"; empty when it is not there or not known.
std::string file_type_name(const Model& model);

// What a text's embedding is: the mean of those of its tokens, that of the first or of the last; or no embedding but a
// score, of a model that ranks texts. Models that say nothing are taken by the mean.
enum class Pooling { kMean, kFirst, kLast, kScore };
Pooling pooling_of(const Model& model);

}  // namespace hypura
