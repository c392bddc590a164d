#include "output/output_pipeline.h"

#include <algorithm>
#include <cstdint>

#include "llama/tokenizer/control_text.h"
#include "output/answer_logprobs.h"
#include "output/answer_utf8.h"

namespace hypura {

namespace {

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

OutputPipeline::OutputPipeline(Vocabulary vocab, AnswerForm form)
    : vocab_(vocab), form_(std::move(form)), stops_(joined(form_.stops, form_.form_stops)) {}

AnswerStep OutputPipeline::step(const float* logits) {
  AnswerStep step;
  if (form_.max_tokens == 0) {
    step.stop = StopReason::kLength;
    return step;
  }
  const auto sampled = form_.sampler->sample(logits);
  if (!sampled) {
    step.stop = StopReason::kError;
    step.error = sampled.error();
    return step;
  }
  ++tokens_;
  step.token = *sampled;
  if (vocab_.ends_text(*sampled)) {
    step.ends_text = true;
    step.stop = StopReason::kEndOfText;
    return step;
  }
  if (form_.logprobs) {
    note(logits, *sampled);
  }
  ++uncounted_;
  const bool shown = std::find(form_.shown.begin(), form_.shown.end(), *sampled) != form_.shown.end();
  step.piece = say(stream_.add(token_text(vocab_, *sampled, shown)));
  count(step.piece);
  if (stops_.hit()) {
    const bool asked = std::find(form_.stops.begin(), form_.stops.end(), stops_.matched()) != form_.stops.end();
    step.stop = asked ? StopReason::kStopString : StopReason::kEndOfText;
  } else if (form_.parser != nullptr && form_.parser->over()) {
    step.stop = StopReason::kEndOfText;
  } else if (tokens_ == form_.max_tokens) {
    step.stop = StopReason::kLength;
  }
  return step;
}

uint32_t OutputPipeline::left() const {
  return form_.max_tokens < 0 ? UINT32_MAX : static_cast<uint32_t>(form_.max_tokens - tokens_);
}

AnswerPiece OutputPipeline::finish() {
  AnswerPiece piece = say(stream_.finish());
  const std::string rest = stops_.finish();
  if (form_.parser == nullptr) {
    piece.content += rest;
  } else {
    piece.append(form_.parser->add(rest));
    piece.append(form_.parser->finish());
  }
  count(piece);
  // Tokens of a stop string are no part of the answer.
  hand_over(piece, stops_.hit() ? stops_.passed() : SIZE_MAX);
  return piece;
}

void OutputPipeline::tell(AnswerEnd& end) const {
  if (end.stop == StopReason::kStopString) {
    end.stop_string = stops_.matched();
  }
  end.thinking_tokens = thinking_;
}

void OutputPipeline::count(const AnswerPiece& piece) {
  const bool other = !piece.content.empty() || !piece.tool_calls.empty();
  if (other || !piece.thinking.empty()) {
    thinking_ += other ? 0 : uncounted_;
    uncounted_ = 0;
  }
}

AnswerPiece OutputPipeline::say(const std::string& text) {
  const std::string valid = valid_utf8(text);
  said_ += valid.size();
  std::string ready = stops_.add(valid);
  AnswerPiece piece;
  if (form_.parser == nullptr) {
    piece.content = std::move(ready);
  } else {
    piece = form_.parser->add(ready);
  }
  if (!piece.empty()) {
    hand_over(piece, stops_.passed());
  }
  return piece;
}

void OutputPipeline::note(const float* logits, int32_t token) {
  const auto count = static_cast<size_t>(vocab_.size());
  const Logprobs logprobs = log_probabilities({logits, count}, token, form_.top_logprobs);
  Noted noted{said_, {token_text(vocab_, token, true), logprobs.chosen, {}}};
  for (const auto& [other, logprob] : logprobs.top) {
    noted.logprob.top.emplace_back(token_text(vocab_, other, true), logprob);
  }
  noted_.push_back(std::move(noted));
}

// Those of tokens whose text began before byte `end`.
void OutputPipeline::hand_over(AnswerPiece& piece, size_t end) {
  for (; !noted_.empty() && noted_.front().begin < end; noted_.pop_front()) {
    piece.logprobs.push_back(std::move(noted_.front().logprob));
  }
}

}  // namespace hypura
