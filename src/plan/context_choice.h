// How much context a model gets where nobody says how much: as much as the budget affords without making it slower.
#pragma once

#include <cstdint>
#include <string>

#include "plan/placement_problem.h"

namespace hypura {

// What agents need: their instructions and tools alone take 20 000 tokens.
inline constexpr uint32_t kGoodContext = 32768;
// With less than this they do not get far: more than the plain context is then not worth fewer answers at once.
inline constexpr uint32_t kUsefulContext = 16384;
// What is given although the model is slower for it; less where more does not fit.
inline constexpr uint32_t kPlainContext = 4096;
inline constexpr uint32_t kLeastContext = 256;

struct ContextChoice {
  uint32_t context = kLeastContext;  // tokens of one sequence
  uint32_t sequences = 1;
  std::string why;  // why it is not more
};

// For `request`, whose own context is not looked at. Up to kGoodContext, or what the model was trained for, as long as
// tokens take no more than 3 % longer by the plan than with kPlainContext and, beyond that, its cache takes no more
// than options.context_share of the budget; then on while the cache takes no more than an eighth. Fewer sequences than
// the request's, where options.fewer_sequences allows it and each has kUsefulContext or more then.
ContextChoice choose_context(const OpenRequest& request);

// "32768 tokens of context for each of 4 answers: …"
std::string context_sentence(const ContextChoice& choice, uint32_t wanted_sequences);

}  // namespace hypura
