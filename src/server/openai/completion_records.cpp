#include "server/openai/completion_records.h"

#include <algorithm>
#include <utility>

#include "server/json/logprobs.h"
#include "server/openai/replies.h"
#include "server/v1/sse.h"
#include "support/random_id.h"

namespace hypura::openai {

namespace {

size_t characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace

CompletionFormat::CompletionFormat(std::string model, bool include_usage, size_t choices, size_t per_prompt,
                                   std::vector<Echo> echoes)
    : model_(std::move(model)),
      include_usage_(include_usage),
      per_prompt_(per_prompt),
      id_(random_id("cmpl-")),
      created_(now_seconds()),
      echoes_(std::move(echoes)),
      echoed_(choices),
      offsets_(choices) {}

void CompletionFormat::on_lease(const ModelLease& lease) {
  for (Echo& echo : echoes_) {
    if (!echo.tokens.empty()) {
      echo.text = lease.generator->detokenize(echo.tokens);
    }
  }
}

Json CompletionFormat::object_of(Json choices) const {
  return {{"id", id_},       {"object", "text_completion"},       {"created", created_},
          {"model", model_}, {"system_fingerprint", "fp_hypura"}, {"choices", std::move(choices)}};
}

Json CompletionFormat::logprobs(size_t index, const std::vector<TokenLogprob>& tokens) {
  Json json = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const TokenLogprob& token : tokens) {
    Json top = Json::object();
    for (const auto& [text, logprob] : token.top) {
      top.emplace(text, finite_logprob(logprob));
    }
    json["tokens"].push_back(token.text);
    json["token_logprobs"].push_back(finite_logprob(token.logprob));
    json["top_logprobs"].push_back(std::move(top));
    json["text_offset"].push_back(offsets_[index]);
    offsets_[index] += characters(token.text);
  }
  return json;
}

// The prompt, before a choice's first text.
std::string CompletionFormat::take_echo(size_t index) {
  if (echoes_.empty() || echoed_[index]) {
    return {};
  }
  echoed_[index] = true;
  return echoes_[index / per_prompt_].text;
}

Json CompletionFormat::choice_of(size_t index, AnswerPiece piece, Json finish_reason) {
  return {{"text", take_echo(index) + piece.content},
          {"index", index},
          {"logprobs", piece.logprobs.empty() ? Json() : logprobs(index, piece.logprobs)},
          {"finish_reason", std::move(finish_reason)}};
}

std::string CompletionFormat::chunk(Json choices, const Json& usage) const {
  Json json = object_of(std::move(choices));
  if (include_usage_) {
    json["usage"] = usage;
  }
  return v1::sse_data(json);
}

HttpResponse CompletionFormat::on_begin() {
  return v1::sse_head({});
}

std::string CompletionFormat::on_choice_piece(size_t index, AnswerPiece piece) {
  if (piece.content.empty() && piece.logprobs.empty()) {
    return {};
  }
  return chunk(Json::array({choice_of(index, std::move(piece), nullptr)}), usage_json(AnswerEnd()));
}

std::string CompletionFormat::on_quiet() {
  return std::string(v1::kSseComment);
}

std::string CompletionFormat::on_choice_end(size_t index, const AnswerEnd& end) {
  return chunk(Json::array({choice_of(index, {}, finish_reason(end.stop, false))}), usage_json(AnswerEnd()));
}

std::string CompletionFormat::on_all_ended(const std::vector<AnswerChoice>& choices) {
  std::string text = include_usage_ ? chunk(Json::array(), usage_json(choices, per_prompt_)) : "";
  return text.append(v1::kSseDone);
}

std::string CompletionFormat::on_error(const Error& error) {
  return error_event(error);
}

HttpResponse CompletionFormat::all(std::vector<AnswerChoice> choices) {
  Json json = object_of(Json::array());
  for (size_t i = 0; i < choices.size(); ++i) {
    const Json reason = finish_reason(choices[i].end.stop, false);
    json["choices"].push_back(choice_of(i, std::move(choices[i].answer), reason));
  }
  json["usage"] = usage_json(choices, per_prompt_);
  return json_reply(json);
}

HttpResponse CompletionFormat::refusal(const Error& error) {
  return error_reply(error, "prompt");
}

}  // namespace hypura::openai
