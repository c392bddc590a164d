// Which sequence of a context an answer takes, whose tokens it begins with, and which sequence is given up first: pure
// functions. docs/design/batching.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace hypura {

// A sequence: the tokens that it holds.
struct SequenceView {
  std::span<const int32_t> held;
  bool idle = true;
  uint64_t last_used = 0;  // the larger the later: counts what happened to all sequences
  uint32_t shared = 0;     // of its tokens the first ones that another sequence has in the same cells
};

struct SequenceChoice {
  uint32_t sequence = 0;
  uint32_t donor = 0;   // whose beginning is taken over; `sequence`: its own
  uint32_t reused = 0;  // tokens of the prompt that need not be evaluated: never the last
};

// The sequence for an answer to `prompt`, of which one at least must be idle. An idle sequence that has most of it is
// gone on with, if what is lost by that is no more than what is gained, and no more than what would be lost otherwise.
// Otherwise the longest common beginning is shared, whoever has it, with an empty sequence, or with the one that is
// worth least, which is cleared. `can_cut`: a sequence's end can be removed and its beginning shared; else only whole
// sequences are gone on with.
SequenceChoice choose_sequence(std::span<const SequenceView> sequences, std::span<const int32_t> prompt, bool can_cut);

// Of the idle sequences that hold something the one to give up first; none where there is no such. What is lost of a
// sequence are its own cells. Those that have far less of them than the longest go first, the least before all others,
// so that small requests (titles, summaries) push no long conversation out; of those alike the one that was not used
// for longest. A sequence that was not used for very long counts as one that has nothing.
std::optional<uint32_t> least_worth(std::span<const SequenceView> sequences);

}  // namespace hypura
