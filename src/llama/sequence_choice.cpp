#include "llama/sequence_choice.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "llama/tokenizer/common_beginning.h"

namespace hypura {

namespace {

constexpr size_t kFarLess = 4;  // times
// By SequenceView::last_used; an answer counts twice, when it begins and when it ends.
constexpr uint64_t kForgotten = 512;

// Tokens beyond the first `kept` that no other sequence has.
size_t lost(const SequenceView& it, size_t kept) {
  return it.held.size() - std::min(it.held.size(), std::max<size_t>(it.shared, kept));
}

// How much less than `longest` a sequence loses: 0 for nearly as much, 1 for far less, 2 for far less than that.
int smallness(size_t its, size_t longest) {
  int times = 0;
  for (; its > 0 && its * kFarLess <= longest; its *= kFarLess) {
    ++times;
  }
  return its > 0 ? times : std::numeric_limits<int>::max();
}

}  // namespace

std::optional<uint32_t> least_worth(std::span<const SequenceView> sequences) {
  uint64_t latest = 0;
  size_t longest = 0;
  for (const SequenceView& it : sequences) {
    latest = std::max(latest, it.last_used);
  }
  const auto counted = [&](const SequenceView& it) { return it.last_used + kForgotten < latest ? 0 : lost(it, 0); };
  for (const SequenceView& it : sequences) {
    longest = std::max(longest, it.idle ? counted(it) : 0);
  }
  std::optional<uint32_t> least;
  const auto rank = [&](uint32_t i) {
    return std::tuple(-smallness(counted(sequences[i]), longest), sequences[i].last_used);
  };
  for (uint32_t i = 0; i < sequences.size(); ++i) {
    if (sequences[i].idle && !sequences[i].held.empty() && (!least || rank(i) < rank(*least))) {
      least = i;
    }
  }
  return least;
}

SequenceChoice choose_sequence(std::span<const SequenceView> sequences, std::span<const int32_t> prompt, bool can_cut) {
  SequenceChoice choice;
  const auto most = static_cast<uint32_t>(prompt.empty() ? 0 : prompt.size() - 1);
  const auto empty = std::find_if(sequences.begin(), sequences.end(),
                                  [](const SequenceView& it) { return it.idle && it.held.empty(); });
  choice.sequence =
      empty != sequences.end() ? static_cast<uint32_t>(empty - sequences.begin()) : least_worth(sequences).value_or(0);
  for (uint32_t i = 0; i < sequences.size(); ++i) {
    const SequenceView& it = sequences[i];
    const uint32_t common = std::min(most, common_beginning(it.held, prompt));
    const bool usable = can_cut || (it.idle && common == it.held.size());
    const SequenceView& best = sequences[choice.donor];
    const bool rather =
        common > 0 && common == choice.reused && it.idle && (!best.idle || lost(it, common) < lost(best, common));
    if (usable && (common > choice.reused || rather)) {
      choice.reused = common;
      choice.donor = i;
    }
  }
  if (choice.reused == 0) {
    choice.donor = choice.sequence;
    return choice;
  }
  const SequenceView& donor = sequences[choice.donor];
  const size_t loses = lost(donor, choice.reused);
  if (donor.idle && loses <= choice.reused && loses <= lost(sequences[choice.sequence], 0)) {
    choice.sequence = choice.donor;
  }
  return choice;
}

}  // namespace hypura
