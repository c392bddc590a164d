// A sequence's keys and values, or its state, out of a context and back into it, as KeptKv sees that. Not thread-safe:
// one thread at a time, the one of the passes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

class KvStates {
 public:
  virtual ~KvStates() = default;

  // Whether only all that a sequence holds can be saved and loaded: of a recurrent state.
  virtual bool whole() const = 0;

  // Of tokens `from` to before `end`, which the sequence holds; with whole(), of all that it holds, which is `end`
  // tokens. Empty where they are not all there any more, or llama.cpp cannot.
  virtual std::vector<uint8_t> save(uint32_t sequence, uint32_t from, uint32_t end) = 0;

  // Puts in what save() gave of `from` to `end`, after the `from` tokens that the sequence holds; with whole(), in
  // place of what it holds. False when that failed: what the sequence then holds beyond `from` is not known, and with
  // whole() nothing.
  virtual bool load(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> state) = 0;
};

}  // namespace hypura
