// The decisions of the scheduler, as pure functions: who rides on a pass, what goes when a context is full.
// docs/design/batching.md says why.
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

// Tokens of each rider in the next pass. Every answer has its one; the capacity that is left is shared evenly among the
// prompts, and what they cannot have evenly goes in turn, beginning with rider `first` (any number).
std::vector<uint32_t> share_pass(std::span<const Rider> riders, const PassLimits& limits, uint64_t first);

// A job that waits until another has evaluated the beginning of its prompt saves so many tokens at least: half a pass.
// What is less than that is rather evaluated twice, together.
uint32_t worth_waiting(const PassLimits& limits);

// A prompt that does not fit `limit` tokens: its first `keep` and its end, half the limit together.
std::vector<int32_t> cut_middle(const std::vector<int32_t>& prompt, uint32_t keep, uint32_t limit);

// Models attend to the first tokens of a text whatever they are, and go astray without them (attention sinks: G. Xiao
// et al., Efficient Streaming Language Models with Attention Sinks, arXiv 2309.17453, which finds four to be enough).
inline constexpr uint32_t kSinks = 4;

// What remains of a full context: its first `keep` tokens, kSinks at least, and the later half of the others.
std::vector<int32_t> drop_half(const std::vector<int32_t>& tokens, uint32_t keep);

}  // namespace hypura
