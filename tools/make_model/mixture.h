// The types of a file's matrices where they are not all of one.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <string_view>

#include "make_model/shape.h"

namespace hypura {

// A matrix of the model; `layer` is -1 outside of the layers, `row` the length of its rows.
struct MatrixPlace {
  std::string_view name;
  int64_t layer = -1;
  int64_t layers = 0;
  int64_t row = 0;
};

// Its type. Rows that the blocks of a K-quant do not divide get a type of smaller blocks, as llama.cpp's quantiser
// does.
ggml_type type_of_matrix(const Choice& choice, const MatrixPlace& place);

}  // namespace hypura
