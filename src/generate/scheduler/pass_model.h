// What the scheduler needs of a model besides its KvCache, so that it can be tested without one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generate/scheduler/pass_policy.h"
#include "hypura/result.h"

namespace hypura {

struct PassToken {
  int32_t token = 0;
  uint32_t position = 0;
  uint32_t sequence = 0;
  bool output = false;  // its logits are wanted
};

// Computes passes over a context of several sequences. Not thread-safe: one thread at a time.
class PassModel {
 public:
  virtual ~PassModel() = default;

  virtual PassLimits limits() const = 0;

  // One pass: evaluates the tokens, of which `prompt_tokens` are of prompts. When it fails, its sequences may hold some
  // of them: cut() them.
  virtual Status pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) = 0;

  // Of the last pass `drafted` tokens were drafts, the first `accepted` of which were right. Once for each pass, after
  // it.
  virtual void note_drafted(uint32_t drafted, uint32_t accepted) = 0;

  // The logits after token `index` of the last pass, which had `output`. Valid until the next pass.
  virtual const float* logits(size_t index) = 0;
  // Whether they can be used; fails as check_logits() does.
  virtual Status check(size_t /*index*/) { return {}; }

  // Like pass, for at most embed_limit() tokens, all of prompts; adds the embedding of each to `sum`, which it sizes.
  virtual Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) = 0;
  virtual uint32_t embed_limit() const = 0;
};

}  // namespace hypura
