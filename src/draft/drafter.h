// Where drafts come from: likely next tokens of an answer, cheaper than the model and often what it will say.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// Not thread-safe: one thread at a time.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // At most `most` tokens that may follow `tokens`, all that sequence number `sequence` has so far; fewer, or none,
  // when it knows no better. Fails with kInternal; that drafter is then not asked again.
  virtual Result<std::vector<int32_t>> draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) = 0;

  // An empty sequence holds the first `count` tokens of another now.
  virtual void note_copied(uint32_t /*from*/, uint32_t /*to*/, uint32_t /*count*/) {}

  // A sequence has forgotten all but its first `left` tokens.
  virtual void note_forgotten(uint32_t /*sequence*/, uint32_t /*left*/) {}
};

// What followed the last few tokens where they stood before: good at code that is edited, tables, quotations.
std::unique_ptr<Drafter> make_ngram_drafter();

}  // namespace hypura
