// What a context keeps of its sequences' tokens, keys and values or a state, as KvCache sees it: so that its books can
// be kept without a model. Not thread-safe: one thread at a time, the one of the passes.
#pragma once

#include <cstdint>

namespace hypura {

class KvMemory {
 public:
  virtual ~KvMemory() = default;

  // Numbered from 0.
  virtual uint32_t sequences() const = 0;

  // Whether the end of a sequence can be removed, and its beginning copied: not of a recurrent state.
  virtual bool can_cut() const = 0;

  // Forgets all but the first `count` tokens of a sequence. Gives how many are left: `count`, or 0 when it cannot be
  // cut there, or when what the next token looks back at is not all there.
  virtual uint32_t cut(uint32_t sequence, uint32_t count) = 0;

  // Makes an empty sequence hold the first `count` tokens of another. Gives how many it holds then: `count` or 0.
  virtual uint32_t copy(uint32_t from, uint32_t to, uint32_t count) = 0;
};

}  // namespace hypura
