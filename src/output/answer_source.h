// Where an answer's tokens come from, as the scheduler sees it.
#pragma once

#include <cstdint>
#include <optional>

#include "hypura/generator.h"

namespace hypura {

// What one row of logits became.
struct AnswerStep {
  std::optional<int32_t> token;  // was sampled; to be evaluated unless the answer stops
  bool ends_text = false;        // and is no part of the text
  AnswerPiece piece;             // may be empty
  std::optional<StopReason> stop;
  std::optional<Error> error;  // with StopReason::kError
};

// Makes one answer of logits. Used by one thread at a time.
class AnswerSource {
 public:
  virtual ~AnswerSource() = default;

  // The next token, after which there is no other when it stops.
  virtual AnswerStep step(const float* logits) = 0;

  // At most so many tokens are still to come: nothing is drafted beyond them.
  virtual uint32_t left() const { return UINT32_MAX; }

  // What was held back. Called once, after the last step.
  virtual AnswerPiece finish() = 0;

  // Adds to `end` what only the source knows: which stop string it was, and how much was thinking.
  virtual void tell(AnswerEnd& /*end*/) const {}
};

}  // namespace hypura
