#include "generate/scheduler/pass_policy.h"

#include <algorithm>

namespace hypura {

namespace {

// Gives every index of `takers` an even part of `capacity`, no more than it needs; the rest one by one from `first` on.
void share_evenly(std::span<const Rider> riders, std::vector<size_t> takers, uint32_t capacity, uint64_t first,
                  std::vector<uint32_t>& shares) {
  while (!takers.empty() && capacity >= takers.size()) {
    const auto even = static_cast<uint32_t>(capacity / takers.size());
    for (const size_t i : takers) {
      const uint32_t more = std::min(even, riders[i].pending - shares[i]);
      shares[i] += more;
      capacity -= more;
    }
    std::erase_if(takers, [&](size_t i) { return shares[i] == riders[i].pending; });
  }
  for (size_t n = 0; n < takers.size() && capacity > 0; ++n, --capacity) {
    ++shares[takers[(n + first) % takers.size()]];
  }
}

}  // namespace

std::vector<uint32_t> share_pass(std::span<const Rider> riders, const PassLimits& limits, uint64_t first) {
  std::vector<uint32_t> shares(riders.size());
  std::vector<size_t> answers;
  std::vector<size_t> prompts;
  for (size_t i = 0; i < riders.size(); ++i) {
    if (riders[i].pending > 0) {
      (riders[i].answering ? answers : prompts).push_back(i);
    }
  }
  uint32_t capacity = limits.tokens;
  for (size_t n = 0; n < answers.size() && capacity > 0; ++n, --capacity) {
    shares[answers[(n + first) % answers.size()]] = 1;
  }
  share_evenly(riders, std::move(prompts), answers.empty() ? capacity : std::min(capacity, limits.beside_answers),
               first, shares);
  return shares;
}

uint32_t worth_waiting(const PassLimits& limits) {
  return std::max(limits.tokens / 2, 1U);
}

std::vector<int32_t> cut_middle(const std::vector<int32_t>& prompt, uint32_t keep, uint32_t limit) {
  const size_t size = std::min<size_t>(prompt.size(), std::max<uint32_t>(limit / 2, 1));
  const size_t head = std::min<size_t>(keep, size - 1);
  std::vector<int32_t> cut(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(head));
  cut.insert(cut.end(), prompt.end() - static_cast<std::ptrdiff_t>(size - head), prompt.end());
  return cut;
}

std::vector<int32_t> drop_half(const std::vector<int32_t>& tokens, uint32_t keep) {
  const size_t head = std::min<size_t>(std::max(keep, kSinks), tokens.size() / 2);
  const size_t dropped = std::max<size_t>((tokens.size() - head) / 2, 1);
  std::vector<int32_t> rest = tokens;
  const auto from = rest.begin() + static_cast<std::ptrdiff_t>(head);
  rest.erase(from, from + static_cast<std::ptrdiff_t>(dropped));
  return rest;
}

}  // namespace hypura
