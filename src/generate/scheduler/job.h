// What the scheduler is asked to do, and how it ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "hypura/generator.h"
#include "output/answer_source.h"

namespace hypura {

using Clock = std::chrono::steady_clock;

// The tokens of a prompt whose embeddings count; what follows them need not be evaluated.
struct EmbedRange {
  uint32_t first = 0;
  uint32_t end = 0;  // one after the last
};

// An answer or an embedding.
struct Job {
  uint64_t id = 0;
  std::vector<int32_t> prompt;           // fits the context
  uint32_t cut_from = 0;                 // as AnswerEnd
  uint32_t limit = 0;                    // tokens of context
  uint32_t keep = 0;                     // and those of it that stay when it is full
  bool shift = false;                    // whether it then goes on
  std::unique_ptr<AnswerSource> source;  // null for an embedding
  std::shared_ptr<AnswerSink> sink;      // gets the pieces; may be null where the source gives none
  std::optional<EmbedRange> embed;       // none for an answer
  Clock::time_point submitted = Clock::now();
};

// A job that is over. Whoever drives the scheduler tells who asked.
struct JobEnd {
  uint64_t id = 0;
  std::shared_ptr<AnswerSink> sink;
  std::variant<AnswerEnd, Result<Embedding>> outcome;
};

// Why a job does not begin, or an embedding is not finished.
inline Error closing_error() {
  return {ErrorCode::kCancelled, "the model is being closed"};
}

}  // namespace hypura
