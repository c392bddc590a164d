#include "server/openai/chat_records.h"

#include <utility>

#include "server/openai/replies.h"
#include "server/v1/sse.h"
#include "support/random_id.h"

namespace hypura::openai {

namespace {

Json choice_of_delta(size_t index, Json delta, Json finish_reason) {
  return {{"index", index}, {"delta", std::move(delta)}, {"finish_reason", std::move(finish_reason)}};
}

void add_logprobs(Json& choice, const std::vector<TokenLogprob>& logprobs) {
  if (!logprobs.empty()) {
    choice["logprobs"] = {{"content", logprobs_json(logprobs)}, {"refusal", nullptr}};
  }
}

}  // namespace

ChatFormat::ChatFormat(std::string model, bool include_usage, size_t choices)
    : model_(std::move(model)),
      include_usage_(include_usage),
      id_(random_id("chatcmpl-")),
      created_(now_seconds()),
      calls_(choices) {}

Json ChatFormat::first_fields(const char* object) const {
  return {
      {"id", id_}, {"object", object}, {"created", created_}, {"model", model_}, {"system_fingerprint", "fp_hypura"}};
}

Json ChatFormat::chunk(Json choices) const {
  Json json = first_fields("chat.completion.chunk");
  json["choices"] = std::move(choices);
  return json;
}

HttpResponse ChatFormat::on_begin() {
  std::string first;
  for (size_t i = 0; i < calls_.size(); ++i) {
    Json choice = choice_of_delta(i, {{"role", "assistant"}, {"content", ""}}, nullptr);
    first += v1::sse_data(chunk(Json::array({std::move(choice)})));
  }
  return v1::sse_head(std::move(first));
}

std::string ChatFormat::on_choice_piece(size_t index, AnswerPiece piece) {
  Json delta = Json::object();
  if (!piece.thinking.empty()) {
    delta["reasoning"] = std::move(piece.thinking);
  }
  if (!piece.content.empty()) {
    delta["content"] = std::move(piece.content);
  }
  if (!piece.tool_calls.empty()) {
    delta["tool_calls"] = tool_calls_json(piece.tool_calls, calls_[index]);
    calls_[index] += piece.tool_calls.size();
  }
  if (delta.empty() && piece.logprobs.empty()) {
    return {};
  }
  Json choice = choice_of_delta(index, std::move(delta), nullptr);
  add_logprobs(choice, piece.logprobs);
  return v1::sse_data(chunk(Json::array({std::move(choice)})));
}

std::string ChatFormat::on_quiet() {
  return std::string(v1::kSseComment);
}

std::string ChatFormat::on_choice_end(size_t index, const AnswerEnd& end) {
  Json choice = choice_of_delta(index, Json::object(), finish_reason(end.stop, calls_[index] > 0));
  return v1::sse_data(chunk(Json::array({std::move(choice)})));
}

std::string ChatFormat::on_all_ended(const std::vector<AnswerChoice>& choices) {
  std::string text;
  if (include_usage_) {
    Json last = chunk(Json::array());
    last["usage"] = usage_json(choices, choices.size());
    text += v1::sse_data(last);
  }
  return text.append(v1::kSseDone);
}

std::string ChatFormat::on_error(const Error& error) {
  return error_event(error);
}

HttpResponse ChatFormat::all(std::vector<AnswerChoice> choices) {
  Json json = first_fields("chat.completion");
  json["choices"] = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    json["choices"].push_back(whole_choice(i, std::move(choices[i].answer), choices[i].end));
  }
  json["usage"] = usage_json(choices, choices.size());
  return json_reply(json);
}

Json ChatFormat::whole_choice(size_t index, AnswerPiece answer, const AnswerEnd& end) {
  Json message = {{"role", "assistant"}, {"content", std::move(answer.content)}};
  if (!answer.thinking.empty()) {
    message["reasoning"] = std::move(answer.thinking);
  }
  const bool called = !answer.tool_calls.empty();
  if (called) {
    message["tool_calls"] = tool_calls_json(answer.tool_calls, 0);
  }
  Json choice = {{"index", index}, {"message", std::move(message)}, {"finish_reason", finish_reason(end.stop, called)}};
  add_logprobs(choice, answer.logprobs);
  return choice;
}

HttpResponse ChatFormat::refusal(const Error& error) {
  return error_reply(error, "messages");
}

}  // namespace hypura::openai
