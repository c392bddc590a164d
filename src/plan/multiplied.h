// Which of a model's tensors llama.cpp multiplies by.
#pragma once

#include "model/model.h"

namespace hypura {

inline bool is_output(const TensorInfo& tensor) {
  return tensor.role == TensorRole::kOutput;
}

// Of a tensor that is multiplied by: whether it is the last one.
inline bool gives_logits(const TensorInfo& tensor) {
  return is_output(tensor) || tensor.role == TensorRole::kEmbedding;
}

// Not norms, biases and tables. A table is multiplied by where no output matrix stands beside it.
inline bool is_multiplied(const TensorInfo& tensor, bool has_output) {
  if (tensor.role == TensorRole::kEmbedding) {
    return tensor.name == "token_embd.weight" && !has_output;
  }
  return tensor.shape[0] > 1 && tensor.shape[1] > 1;
}

}  // namespace hypura
