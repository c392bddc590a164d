// Answers of /v1/chat/completions: one object, or a stream of chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/answering.h"
#include "server/json/json.h"

namespace hypura::openai {

class ChatFormat : public AnswerFormat {
 public:
  // `model` is the name as the request spells it. `include_usage`: a stream ends with what it took.
  ChatFormat(std::string model, bool include_usage);

  HttpResponse on_begin() override;
  std::string on_piece(AnswerPiece piece) override;
  std::string on_quiet() override;
  std::string on_end(const AnswerEnd& end) override;
  std::string on_error(const Error& error) override;
  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) override;
  HttpResponse refusal(const Error& error) override;

 private:
  // What comes before the choices.
  Json first_fields(const char* object) const;
  Json chunk(Json choices) const;

  const std::string model_;
  const bool include_usage_;
  const std::string id_;
  const int64_t created_;
  size_t calls_ = 0;  // tool calls so far
};

}  // namespace hypura::openai
