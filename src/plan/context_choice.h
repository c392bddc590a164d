// How much context a model gets where nobody says how much: as much as the budget affords without making it slower.
#pragma once

#include <cstdint>
#include <string>

#include "plan/placement_problem.h"

namespace hypura {

// What agents need: their instructions and tools alone take 20 000 tokens.
inline constexpr uint32_t kGoodContext = 32768;
// What is given although the model is slower for it; less where more does not fit.
inline constexpr uint32_t kPlainContext = 4096;
inline constexpr uint32_t kLeastContext = 256;

struct ContextChoice {
  uint32_t context = kLeastContext;  // tokens of one answer, at most
  uint32_t pool = kLeastContext;     // cells that all answers share
  std::string why;                   // why the context is not more
};

// For `request`, whose own context is not looked at. Up to kGoodContext, or what the model was trained for, as long as
// tokens take no more than 3 % longer by the plan than with kPlainContext and, beyond that, its cache takes no more
// than options.context_share of the budget; then on while the cache takes no more than an eighth. The pool as
// choose_pool().
ContextChoice choose_context(const OpenRequest& request);

// The cells that the sequences of `request` share, each of which may take a whole context: as many as all could want,
// or half as many, and so on, by the same rules. One context at least, and an eighth of it besides for idle
// conversations where that is affordable; and kPlainContext for each, or the context where that is less, as long as one
// answer's tokens take no more than a quarter longer for it than with one context.
uint32_t choose_pool(const OpenRequest& request);

// "32768 tokens of context for each of 4 answers: …; they share a KV cache of 65536". `why` the context is not more;
// empty: not told where it was given, else it is all that the model was trained for.
std::string context_sentence(const OpenRequest& request, const std::string& why);

}  // namespace hypura
