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

CompletionFormat::CompletionFormat(std::string model, bool include_usage)
    : model_(std::move(model)), include_usage_(include_usage), id_(random_id("cmpl-")), created_(now_seconds()) {}

Json CompletionFormat::object_of(Json choices) const {
  return {{"id", id_},       {"object", "text_completion"},       {"created", created_},
          {"model", model_}, {"system_fingerprint", "fp_hypura"}, {"choices", std::move(choices)}};
}

Json CompletionFormat::logprobs(const std::vector<TokenLogprob>& tokens) {
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
    json["text_offset"].push_back(offset_);
    offset_ += characters(token.text);
  }
  return json;
}

Json CompletionFormat::choice_of(AnswerPiece piece, Json finish_reason) {
  return {{"text", std::move(piece.content)},
          {"index", 0},
          {"logprobs", piece.logprobs.empty() ? Json() : logprobs(piece.logprobs)},
          {"finish_reason", std::move(finish_reason)}};
}

std::string CompletionFormat::chunk(Json choices, const AnswerEnd& usage) const {
  Json json = object_of(std::move(choices));
  if (include_usage_) {
    json["usage"] = usage_json(usage);
  }
  return v1::sse_data(json);
}

HttpResponse CompletionFormat::on_begin() {
  return v1::sse_head({});
}

std::string CompletionFormat::on_piece(AnswerPiece piece) {
  if (piece.content.empty() && piece.logprobs.empty()) {
    return {};
  }
  return chunk(Json::array({choice_of(std::move(piece), nullptr)}), {});
}

std::string CompletionFormat::on_quiet() {
  return std::string(v1::kSseComment);
}

std::string CompletionFormat::on_end(const AnswerEnd& end) {
  std::string text = chunk(Json::array({choice_of({}, finish_reason(end.stop, false))}), {});
  if (include_usage_) {
    text += chunk(Json::array(), end);
  }
  return text.append(v1::kSseDone);
}

std::string CompletionFormat::on_error(const Error& error) {
  return error_event(error);
}

HttpResponse CompletionFormat::whole(AnswerPiece answer, const AnswerEnd& end) {
  Json json = object_of(Json::array({choice_of(std::move(answer), finish_reason(end.stop, false))}));
  json["usage"] = usage_json(end);
  return json_reply(json);
}

HttpResponse CompletionFormat::refusal(const Error& error) {
  return error_reply(error);
}

}  // namespace hypura::openai
