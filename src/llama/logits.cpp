#include "llama/logits.h"

#include <algorithm>
#include <limits>

#include "support/fail.h"

namespace hypura {

Status check_logits(std::span<const float> logits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  bool numbers = true;
  float most = -kInfinity;
  for (const float logit : logits) {  // without a branch, so that compilers take several at a time
    numbers &= logit < kInfinity;
    most = logit > most ? logit : most;
  }
  if (numbers && most > -kInfinity) {
    return {};
  }
  return fail(
      ErrorCode::kBadModel,
      "the model's output is not a number, so that no token can follow: its weights are damaged, or its numbers "
      "grow too large; get the file again, or one of another type");
}

int32_t likeliest(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace hypura
