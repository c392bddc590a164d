#include "output/answer_logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hypura {

Logprobs log_probabilities(std::span<const float> logits, int32_t token, size_t top) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(logit - highest);
  }
  const double total = highest + std::log(sum);
  const auto logprob = [&](int32_t id) { return static_cast<float>(logits[static_cast<size_t>(id)] - total); };
  Logprobs result;
  result.chosen = logprob(token);
  std::vector<int32_t> ids(top > 0 ? logits.size() : 0);
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(top, ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (auto id = ids.begin(); id != end; ++id) {
    result.top.emplace_back(*id, logprob(*id));
  }
  return result;
}

}  // namespace hypura
