// Where a KvCache puts what its sequences are about to forget, and what it asks before tokens are computed. Not
// thread-safe: one thread at a time, the one of the passes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace hypura {

// Entries that follow each other, to be put into a sequence. Must not outlive the text that it was made for.
class KvFetch {
 public:
  virtual ~KvFetch() = default;

  // Tokens of the text that the sequence must hold for the first of them, and nothing else.
  virtual uint32_t from() const = 0;

  // Tokens of the next; 0: there are no more.
  virtual uint32_t next() const = 0;

  // Puts it in, after what the sequence holds. False when that failed: what the sequence holds beyond that is not
  // known.
  virtual bool load(uint32_t sequence) = 0;
};

class KvKeeper {
 public:
  virtual ~KvKeeper() = default;

  // What a sequence that holds the first `held` tokens of the text could have besides; null where there is nothing, or
  // computing is faster.
  virtual std::unique_ptr<KvFetch> fetch(std::span<const int32_t> text, uint32_t held) = 0;

  // The sequence holds these tokens, and is to forget those after the first `left`, if not more.
  virtual void losing(uint32_t sequence, std::span<const int32_t> tokens, uint32_t left) = 0;

  // Keeps one more entry of the sequence, which holds these tokens; some milliseconds. What of them need not be looked
  // at again is `done`, at first 0; after kAll it is all.
  enum class Kept { kOne, kLater, kAll };  // kLater: there is no room yet, for which `wait` waits some seconds
  virtual Kept keep(uint32_t sequence, std::span<const int32_t> tokens, uint32_t& done, bool wait) = 0;

  // Of a sequence in use too an entry is to be kept after so many tokens.
  virtual uint32_t stride() const = 0;

  // Whether passes run.
  virtual void note_busy(bool busy) = 0;
};

}  // namespace hypura
