#include "llama/sequence_choice.h"

#include <algorithm>
#include <tuple>

#include "llama/tokenizer/common_beginning.h"

namespace hypura {

namespace {

// The idle sequence to clear: of those that hold far less than the longest, where there are any, the oldest.
uint32_t least_worth(std::span<const SequenceView> sequences) {
  constexpr size_t kFarLess = 4;  // times
  size_t longest = 0;
  for (const SequenceView& it : sequences) {
    longest = std::max(longest, it.idle ? it.held.size() : 0);
  }
  const auto rank = [&](const SequenceView& it) {
    return std::tuple(!it.idle, it.held.size() * kFarLess > longest, it.last_used);
  };
  const auto least = std::min_element(sequences.begin(), sequences.end(),
                                      [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return static_cast<uint32_t>(least - sequences.begin());
}

}  // namespace

SequenceChoice choose_sequence(std::span<const SequenceView> sequences, std::span<const int32_t> prompt, bool can_cut) {
  SequenceChoice choice;
  const auto most = static_cast<uint32_t>(prompt.empty() ? 0 : prompt.size() - 1);
  choice.sequence = least_worth(sequences);
  for (uint32_t i = 0; i < sequences.size(); ++i) {
    const SequenceView& it = sequences[i];
    const uint32_t common = std::min(most, common_beginning(it.held, prompt));
    const bool usable = can_cut || (it.idle && common == it.held.size());
    const bool rather = common == choice.reused && it.idle && !sequences[choice.donor].idle;  // it need not be copied
    if (usable && (common > choice.reused || (common > 0 && rather))) {
      choice.reused = common;
      choice.donor = i;
    }
  }
  if (choice.reused == 0) {
    choice.donor = choice.sequence;
    return choice;
  }
  // Nearly the same: what a sequence would lose is less than what it shares. A copy would leave two of a kind.
  const SequenceView& donor = sequences[choice.donor];
  if (donor.idle && donor.held.size() - choice.reused <= choice.reused) {
    choice.sequence = choice.donor;
  }
  return choice;
}

}  // namespace hypura
