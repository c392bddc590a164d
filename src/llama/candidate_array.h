// Candidates as llama.cpp takes them. Within llama/ only.
#pragma once

#include <cstddef>
#include <span>

#include "llama.h"
#include "llama/candidate.h"

namespace hypura {

static_assert(sizeof(Candidate) == sizeof(llama_token_data) &&
              offsetof(Candidate, token) == offsetof(llama_token_data, id) &&
              offsetof(Candidate, logit) == offsetof(llama_token_data, logit) &&
              offsetof(Candidate, probability) == offsetof(llama_token_data, p));

// The same memory.
inline llama_token_data_array as_llama(std::span<Candidate> candidates) {
  return {reinterpret_cast<llama_token_data*>(candidates.data()), candidates.size(), -1, false};
}

}  // namespace hypura
