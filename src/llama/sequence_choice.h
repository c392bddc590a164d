// Which sequence of a context an answer takes, and whose tokens it begins with: pure functions.
// docs/design/batching.md.
#pragma once

#include <cstdint>
#include <span>

namespace hypura {

// A sequence: the tokens that it holds.
struct SequenceView {
  std::span<const int32_t> held;
  bool idle = true;
  uint64_t last_used = 0;  // the larger the later
};

struct SequenceChoice {
  uint32_t sequence = 0;
  uint32_t donor = 0;   // whose beginning is taken over; `sequence`: its own
  uint32_t reused = 0;  // tokens of the prompt that need not be evaluated: never the last
};

// The sequence for an answer to `prompt`, of which one at least must be idle. An idle sequence that holds nearly the
// same is gone on with: its own rest is lost. Otherwise one is cleared, and the longest common beginning is copied to
// it from whoever has it: the one that was not used for longest, but one that holds far less than the longest before
// that, so that small requests besides (titles, summaries) do not push a long conversation out. `can_cut`: a sequence's
// end can be removed and its beginning copied; else only whole sequences are gone on with.
SequenceChoice choose_sequence(std::span<const SequenceView> sequences, std::span<const int32_t> prompt, bool can_cut);

}  // namespace hypura
