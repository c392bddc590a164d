// The decisions of batching, as pure functions: who rides on a pass, which sequence an answer takes, what goes when a
// context is full. docs/design/batching.md says why.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// An answer that runs.
struct Rider {
  uint32_t pending = 0;    // tokens to evaluate
  bool answering = false;  // the one that is pending was sampled; else a prompt is being evaluated
};

struct PassLimits {
  uint32_t tokens = 0;          // in a pass
  uint32_t beside_answers = 0;  // of prompts, in a pass that carries an answer's token
  uint32_t outputs = 0;         // whose logits are kept, in a pass
};

// Tokens of each rider in the next pass. Every answer has its one; what room is left is shared evenly among the
// prompts, and what they cannot have evenly goes in turn, beginning with rider `first` (any number).
std::vector<uint32_t> share_pass(std::span<const Rider> riders, const PassLimits& limits, uint64_t first);

// A sequence: the tokens whose keys and values it holds.
struct SequenceView {
  std::span<const int32_t> held;
  bool idle = true;
  uint64_t last_used = 0;
};

struct SequenceChoice {
  uint32_t sequence = 0;
  uint32_t donor = 0;   // whose beginning is taken over; `sequence`: its own
  uint32_t reused = 0;  // tokens of the prompt that need not be evaluated: never the last
};

// The sequence for an answer to `prompt`, of which one at least must be idle. An idle sequence that holds nearly the
// same is gone on with: its own rest is lost. Otherwise one is given up, and the longest common beginning is copied to
// it from whoever has it: the one that was not used for longest, but one that holds far less than the longest before
// that, so that small requests besides (titles, summaries) do not push a long conversation out. `can_cut`: a sequence's
// end can be removed and its beginning copied; else only whole sequences are gone on with.
SequenceChoice choose_sequence(std::span<const SequenceView> sequences, std::span<const int32_t> prompt, bool can_cut);

// A prompt that does not fit `limit` tokens: its first `keep` and its end, half the limit together.
std::vector<int32_t> cut_middle(const std::vector<int32_t>& prompt, uint32_t keep, uint32_t limit);

// What remains of a full context: its first `keep` tokens and the later half of the others.
std::vector<int32_t> drop_half(const std::vector<int32_t>& tokens, uint32_t keep);

}  // namespace hypura
