// Probabilities of tokens, from the model's raw logits: before any sampler changed them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace hypura {

struct Logprobs {
  float chosen = 0;
  std::vector<std::pair<int32_t, float>> top;  // likeliest first
};

// The natural logarithm of the probability of `token`, and of the `top` likeliest.
Logprobs log_probabilities(std::span<const float> logits, int32_t token, size_t top);

}  // namespace hypura
