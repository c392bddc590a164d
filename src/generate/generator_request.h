// From a request to a job that the scheduler can run: checks, the prompt's tokens, what the answer must be.
#pragma once

#include <cstdint>
#include <vector>

#include "chat/chat_format.h"
#include "generate/model_card.h"
#include "generate/scheduler/job.h"
#include "hypura/generator.h"
#include "llama/header_numbers.h"
#include "llama/vocabulary.h"

namespace hypura {

// What a request is read for. The references must outlive what is made.
struct ServedContext {  // NOLINT(cppcoreguidelines-pro-type-member-init): there is no vocabulary to begin with
  const ChatFormat& format;
  Vocabulary vocabulary;
  const ModelCard& card;
  const TextBound& bound;
  Pooling pooling = Pooling::kMean;
  uint32_t context = 0;  // tokens of one answer
};

// Without id and sink. Fails with kUsage and kContextFull as Generator::submit does. Any thread.
Result<Job> make_answer_job(const ServedContext& served, const AnswerRequest& request);

// Fails as Generator::embed does. Any thread.
Result<Job> make_embed_job(const ServedContext& served, const EmbedRequest& request);

}  // namespace hypura
