// Answers of /v1/completions: one object, or a stream of chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "server/answering.h"
#include "server/json/json.h"

namespace hypura::openai {

// What the texts of a completion begin with, when the request wants its prompt back: a text, or tokens.
struct Echo {
  std::string text;
  std::vector<int32_t> tokens;
};

class CompletionFormat : public ChoicesFormat {
 public:
  // `model` is the name as the request spells it. `include_usage`: a stream ends with what it took. `choices`: how
  // many, of which `per_prompt` each are of one prompt. `echoes`: one for each prompt, or none.
  CompletionFormat(std::string model, bool include_usage, size_t choices = 1, size_t per_prompt = 1,
                   std::vector<Echo> echoes = {});

  void on_lease(const ModelLease& lease) override;
  HttpResponse on_begin() override;
  std::string on_choice_piece(size_t index, AnswerPiece piece) override;
  std::string on_quiet() override;
  std::string on_choice_end(size_t index, const AnswerEnd& end) override;
  std::string on_all_ended(const std::vector<AnswerChoice>& choices) override;
  std::string on_error(const Error& error) override;
  HttpResponse all(std::vector<AnswerChoice> choices) override;
  HttpResponse refusal(const Error& error) override;

 private:
  Json object_of(Json choices) const;
  Json choice_of(size_t index, AnswerPiece piece, Json finish_reason);
  std::string chunk(Json choices, const Json& usage) const;
  Json logprobs(size_t index, const std::vector<TokenLogprob>& tokens);
  std::string take_echo(size_t index);

  const std::string model_;
  const bool include_usage_;
  const size_t per_prompt_;
  const std::string id_;
  const int64_t created_;
  std::vector<Echo> echoes_;
  std::vector<bool> echoed_;     // of each choice
  std::vector<size_t> offsets_;  // of each choice, characters of the tokens so far
};

}  // namespace hypura::openai
