// Answers of /v1/chat/completions: one object, or a stream of chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "server/answering.h"
#include "server/json/json.h"

namespace hypura::openai {

class ChatFormat : public ChoicesFormat {
 public:
  // `model` is the name as the request spells it. `include_usage`: a stream ends with what it took.
  ChatFormat(std::string model, bool include_usage, size_t choices = 1);

  HttpResponse on_begin() override;
  std::string on_choice_piece(size_t index, AnswerPiece piece) override;
  std::string on_quiet() override;
  std::string on_choice_end(size_t index, const AnswerEnd& end) override;
  std::string on_all_ended(const std::vector<AnswerChoice>& choices) override;
  std::string on_error(const Error& error) override;
  HttpResponse all(std::vector<AnswerChoice> choices) override;
  HttpResponse refusal(const Error& error) override;

 private:
  // What comes before the choices.
  Json first_fields(const char* object) const;
  Json chunk(Json choices) const;
  static Json whole_choice(size_t index, AnswerPiece answer, const AnswerEnd& end);

  const std::string model_;
  const bool include_usage_;
  const std::string id_;
  const int64_t created_;
  std::vector<size_t> calls_;  // of each choice, tool calls so far
};

}  // namespace hypura::openai
