// Whether what a model said of the next token can be used.
#pragma once

#include <span>

#include "hypura/result.h"

namespace hypura {

// Fails with kBadModel when there are no logits, one of them is not a number or positive infinity, or all are negative
// infinity: weights that are damaged, or numbers that became too large on the way.
Status check_logits(std::span<const float> logits);

}  // namespace hypura
