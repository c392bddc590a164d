// What a model said of the next token, a number for each: whether it can be used, and what is likeliest.
#pragma once

#include <cstdint>
#include <span>

#include "hypura/result.h"

namespace hypura {

// Fails with kBadModel when there are no logits, one of them is not a number or positive infinity, or all are negative
// infinity: weights that are damaged, or numbers that became too large on the way.
Status check_logits(std::span<const float> logits);

// The token whose logit is largest.
int32_t likeliest(std::span<const float> logits);

}  // namespace hypura
