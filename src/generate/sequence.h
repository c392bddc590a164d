// One sequence of the context, and the answer or the embedding that it is used for.
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "hypura/generator.h"
#include "output/answer_source.h"

namespace hypura {

using Clock = std::chrono::steady_clock;

// An embedding under way: the mean over some of its tokens.
struct EmbedWork {
  uint32_t first = 0;  // of the tokens whose embeddings count
  uint32_t end = 0;    // one after the last: those that follow need not be evaluated
  std::vector<float> sum;
  std::promise<Result<Embedding>> done;
};

// What was asked for and waits, or runs.
struct Job {
  uint64_t id = 0;
  std::vector<int32_t> prompt;           // fits the context
  uint32_t cut_from = 0;                 // as AnswerEnd
  uint32_t limit = 0;                    // tokens of context
  uint32_t keep = 0;                     // and those of it that stay when it is full
  bool shift = false;                    // whether it then goes on
  std::unique_ptr<AnswerSource> source;  // null for an embedding
  std::shared_ptr<AnswerSink> sink;
  std::unique_ptr<EmbedWork> embed;  // null for an answer
  Clock::time_point submitted;
};

// A job that has a sequence.
struct Run {
  explicit Run(Job its_job) : job(std::move(its_job)), tokens(job.prompt), all(job.prompt), admitted(Clock::now()) {}

  Job job;
  std::vector<int32_t> tokens;  // that the context is to hold: what of it is not held is pending
  std::vector<int32_t> all;     // prompt and answer, whatever was dropped
  uint32_t cached = 0;
  uint32_t sampled = 0;
  Clock::time_point admitted;
  std::optional<Clock::time_point> answering;  // since the prompt was evaluated
};

struct Sequence {
  std::vector<int32_t> held;  // tokens whose keys and values are in the context
  uint64_t last_used = 0;     // number of the pass
  std::unique_ptr<Run> run;   // null: idle

  uint32_t pending() const { return run == nullptr ? 0 : static_cast<uint32_t>(run->tokens.size() - held.size()); }
};

}  // namespace hypura
