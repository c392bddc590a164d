// What the batcher needs of a model, so that it can be tested without one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generate/batcher_plan.h"
#include "hypura/result.h"

namespace hypura {

struct PassToken {
  int32_t token = 0;
  uint32_t position = 0;
  uint32_t sequence = 0;
  bool output = false;  // its logits are wanted
};

// A model with a context of several sequences. Everything but the destructor is called on the batcher's thread.
class BatchModel {
 public:
  virtual ~BatchModel() = default;

  virtual uint32_t sequences() const = 0;
  virtual PassLimits limits() const = 0;
  // Whether the end of a sequence can be removed, and its beginning copied.
  virtual bool can_cut() const = 0;

  // One walk over the weights: evaluates the tokens, of which `prompt_tokens` are of prompts. When it fails the
  // sequences that had tokens in it hold what they may: cut() them.
  virtual Status walk(std::span<const PassToken> tokens, uint32_t prompt_tokens) = 0;

  // Nothing is under way for now.
  virtual void pause() {}

  // Of the last walk `drafted` tokens were drafts, and `right` of those right. Once for each walk, after it.
  virtual void note_drafted(uint32_t drafted, uint32_t right) = 0;

  // The logits after token `index` of the last walk, which had `output`. Valid until the next walk.
  virtual const float* logits(size_t index) = 0;
  // Whether they can be used; fails as check_logits() does.
  virtual Status check(size_t /*index*/) { return {}; }

  // Forgets all but the first `count` tokens of a sequence. Gives how many are left: fewer when it cannot be cut there.
  virtual uint32_t cut(uint32_t sequence, uint32_t count) = 0;

  // Makes an empty sequence hold the first `count` tokens of another. Gives how many it holds then.
  virtual uint32_t copy(uint32_t from, uint32_t to, uint32_t count) = 0;

  // Like walk, for at most embed_limit() tokens, all of prompts; adds the embedding of each to `sum`, which it sizes.
  virtual Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) = 0;
  virtual uint32_t embed_limit() const = 0;
};

}  // namespace hypura
