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

  // What can be saved and loaded of a sequence: any of its tokens; those up to the last one, with the state after it;
  // or only all of them.
  enum class Parts { kAny, kLast, kWhole };
  virtual Parts parts() const = 0;

  // Of tokens `from` to before `end`, which the sequence holds; with kLast or kWhole it must hold no more, and with the
  // latter `from` is 0. Empty where they are not all there any more, or llama.cpp cannot.
  virtual std::vector<uint8_t> save(uint32_t sequence, uint32_t from, uint32_t end) = 0;

  // Puts in what save() gave of `from` to `end`, after the `from` tokens that the sequence holds. False when that
  // failed: what the sequence then holds beyond `from` is not known.
  virtual bool load(uint32_t sequence, uint32_t from, uint32_t end, std::span<const uint8_t> state) = 0;
};

}  // namespace hypura
