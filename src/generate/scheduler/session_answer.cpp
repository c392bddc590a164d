#include "generate/scheduler/session_answer.h"

#include <utility>

#include "llama/tokenizer/control_text.h"

namespace hypura {

SessionAnswer::SessionAnswer(Vocabulary vocab, std::unique_ptr<AnswerSampler> sampler, const GenerateOptions& options,
                             Generated& generated)
    : vocab_(vocab), sampler_(std::move(sampler)), options_(options), generated_(generated) {}

AnswerStep SessionAnswer::step(const float* logits) {
  AnswerStep step;
  if (left() == 0) {
    step.stop = StopReason::kLength;
    return step;
  }
  const auto sampled = sampler_->sample(logits);
  if (!sampled) {
    step.stop = StopReason::kError;
    step.error = sampled.error();
    return step;
  }
  step.token = *sampled;
  if (vocab_.ends_text(*sampled)) {
    step.ends_text = true;
    step.stop = StopReason::kEndOfText;
    return step;
  }
  generated_.tokens.push_back(*sampled);
  stopped_ = !emit(stream_.add(token_text(vocab_, *sampled, false))) || (options_.keep_going && !options_.keep_going());
  if (stopped_) {
    step.stop = StopReason::kCancelled;
  } else if (left() == 0) {
    step.stop = StopReason::kLength;
  }
  return step;
}

uint32_t SessionAnswer::left() const {
  return options_.max_tokens < 0
             ? UINT32_MAX
             : static_cast<uint32_t>(options_.max_tokens) - static_cast<uint32_t>(generated_.tokens.size());
}

AnswerPiece SessionAnswer::finish() {
  if (!stopped_) {
    emit(stream_.finish());
  }
  return {};
}

// False when there is to be no more.
bool SessionAnswer::emit(const std::string& text) {
  generated_.text += text;
  return text.empty() || !options_.on_text || options_.on_text(text);
}

}  // namespace hypura
