// Parts of log-probabilities in JSON. Any thread.
#pragma once

#include <string>

#include "server/json/json.h"

namespace hypura {

// JSON has no infinity: the likeliest that it can say of a token that cannot be.
double finite_logprob(float logprob);

// [226,128,153]: the bytes of a token, which need not be whole characters.
Json bytes_json(const std::string& text);

}  // namespace hypura
