// Answers of /v1/completions: one object, or a stream of chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/answering.h"
#include "server/json/json.h"

namespace hypura::openai {

class CompletionFormat : public AnswerFormat {
 public:
  // `model` is the name as the request spells it. `include_usage`: a stream ends with what it took.
  CompletionFormat(std::string model, bool include_usage);

  HttpResponse on_begin() override;
  std::string on_piece(AnswerPiece piece) override;
  std::string on_quiet() override;
  std::string on_end(const AnswerEnd& end) override;
  std::string on_error(const Error& error) override;
  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) override;
  HttpResponse refusal(const Error& error) override;

 private:
  Json object_of(Json choices) const;
  Json choice_of(AnswerPiece piece, Json finish_reason);
  std::string chunk(Json choices, const AnswerEnd& usage) const;
  Json logprobs(const std::vector<TokenLogprob>& tokens);

  const std::string model_;
  const bool include_usage_;
  const std::string id_;
  const int64_t created_;
  size_t offset_ = 0;  // characters of the tokens so far
};

}  // namespace hypura::openai
