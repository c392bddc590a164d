// The output pipeline of one answer: logits to tokens, tokens to text, text to thinking, content and calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "llama/vocabulary.h"
#include "output/answer_parser.h"
#include "output/answer_sampler.h"
#include "output/answer_source.h"
#include "output/stop_strings.h"
#include "output/text_stream.h"

namespace hypura {

struct AnswerForm {
  std::unique_ptr<AnswerSampler> sampler;
  std::unique_ptr<AnswerParser> parser;  // null: all text is content
  std::vector<std::string> stops;        // the request's
  std::vector<std::string> form_stops;   // the chat template's: the model's own ends
  std::vector<int32_t> shown;            // control tokens that are text to the parser
  int32_t max_tokens = -1;               // negative: as many as the context holds
  bool logprobs = false;
  size_t top_logprobs = 0;
};

class OutputPipeline final : public AnswerSource {
 public:
  // The vocabulary must outlive the object.
  OutputPipeline(Vocabulary vocab, AnswerForm form);

  AnswerStep step(const float* logits) override;
  uint32_t left() const override;
  AnswerPiece finish() override;
  void tell(AnswerEnd& end) const override;

 private:
  struct Noted {
    size_t begin = 0;  // of the token's text, in bytes of all text
    TokenLogprob logprob;
  };

  AnswerPiece say(const std::string& text);
  void note(const float* logits, int32_t token);
  void hand_over(AnswerPiece& piece, size_t end);
  void count(const AnswerPiece& piece);

  Vocabulary vocab_;
  AnswerForm form_;
  StopStrings stops_;
  TextStream stream_;
  size_t said_ = 0;  // bytes given to stops_
  int32_t tokens_ = 0;
  uint32_t uncounted_ = 0;   // tokens since the last piece
  uint32_t thinking_ = 0;    // tokens
  std::deque<Noted> noted_;  // logprobs not handed over yet
};

}  // namespace hypura
