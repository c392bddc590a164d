#include "server/ollama/records.h"

#include <utility>

#include "server/json/logprobs.h"
#include "server/json/time.h"
#include "server/ollama/replies.h"
#include "support/log.h"
#include "support/random_id.h"

namespace hypura::ollama {

namespace {

Json logprob_json(const std::string& text, float logprob) {
  Json json = {{"token", text}, {"logprob", finite_logprob(logprob)}};
  if (!text.empty()) {
    json["bytes"] = bytes_json(text);
  }
  return json;
}

std::string_view done_reason(StopReason stop) {
  return stop == StopReason::kLength || stop == StopReason::kContextFull ? "length" : "stop";
}

// Zeros are written: clients with types want all of them.
void add_figures(Json& json, double total_seconds, double load_seconds, const AnswerEnd& end) {
  json["total_duration"] = nanoseconds_of(total_seconds);
  json["load_duration"] = nanoseconds_of(load_seconds);
  json["prompt_eval_count"] = end.prompt_tokens;
  json["prompt_eval_duration"] = nanoseconds_of(end.prompt_seconds);
  json["eval_count"] = end.answer_tokens;
  json["eval_duration"] = nanoseconds_of(end.answer_seconds);
}

Json first_fields(const std::string& model) {
  return {{"model", model}, {"created_at", rfc3339(std::chrono::system_clock::now())}};
}

}  // namespace

Json logprobs_json(const std::vector<TokenLogprob>& logprobs) {
  Json json = Json::array();
  for (const TokenLogprob& token : logprobs) {
    Json one = logprob_json(token.text, token.logprob);
    for (const auto& [text, logprob] : token.top) {
      one["top_logprobs"].push_back(logprob_json(text, logprob));
    }
    json.push_back(std::move(one));
  }
  return json;
}

Json load_record(const std::string& model, RecordShape shape, std::string_view done_reason, double load_seconds) {
  Json json = first_fields(model);
  if (shape == RecordShape::kChat) {
    json["message"] = {{"role", "assistant"}, {"content", ""}};
  } else {
    json["response"] = "";
  }
  json["done"] = true;
  json["done_reason"] = done_reason;
  add_figures(json, load_seconds, load_seconds, {});
  return json;
}

RecordFormat::RecordFormat(std::string model, RecordShape shape, bool with_context)
    : model_(std::move(model)), shape_(shape), with_context_(with_context) {}

void RecordFormat::on_lease(const ModelLease& lease) {
  load_seconds_ = lease.load_seconds;
}

HttpResponse RecordFormat::on_begin() {
  HttpResponse head;
  head.content_type = "application/x-ndjson";
  return head;
}

std::string RecordFormat::on_piece(AnswerPiece piece) {
  return piece.empty() ? "" : dump_json(record(std::move(piece), false)) + "\n";
}

std::string RecordFormat::on_end(const AnswerEnd& end) {
  return dump_json(last({}, end)) + "\n";
}

std::string RecordFormat::on_error(const Error& error) {
  return dump_json({{"error", error.message}}) + "\n";
}

HttpResponse RecordFormat::whole(AnswerPiece answer, const AnswerEnd& end) {
  return json_reply(last(std::move(answer), end));
}

HttpResponse RecordFormat::refusal(const Error& error) {
  return error_reply(error);
}

Json RecordFormat::tool_calls(std::vector<ToolCall> calls) {
  Json json = Json::array();
  for (ToolCall& call : calls) {
    Result<Json> arguments = parse_json(call.arguments);
    if (!arguments || !arguments->is_object()) {
      logger().warn("the model called {} with arguments that are not a JSON object: {}", call.name, call.arguments);
      arguments = Json::object();
    }
    json.push_back({{"id", call.id.empty() ? random_id("call_", 8) : call.id},
                    {"function", {{"index", calls_++}, {"name", call.name}, {"arguments", std::move(*arguments)}}}});
  }
  return json;
}

Json RecordFormat::record(AnswerPiece piece, bool done) {
  Json json = first_fields(model_);
  const bool chat = shape_ == RecordShape::kChat;
  Json text;
  if (chat) {
    text["role"] = "assistant";
  }
  text[chat ? "content" : "response"] = std::move(piece.content);
  if (!piece.thinking.empty()) {
    text["thinking"] = std::move(piece.thinking);
  }
  if (!piece.tool_calls.empty()) {
    text["tool_calls"] = tool_calls(std::move(piece.tool_calls));
  }
  if (chat) {
    json["message"] = std::move(text);
  } else {
    json.update(text);
  }
  json["done"] = done;
  if (!piece.logprobs.empty()) {
    json["logprobs"] = logprobs_json(piece.logprobs);
  }
  return json;
}

Json RecordFormat::last(AnswerPiece piece, const AnswerEnd& end) {
  Json json = record(std::move(piece), true);
  json["done_reason"] = done_reason(end.stop);
  if (with_context_) {
    json["context"] = end.tokens;
  }
  const std::chrono::duration<double> total = std::chrono::steady_clock::now() - start_;
  add_figures(json, total.count(), load_seconds_, end);
  return json;
}

}  // namespace hypura::ollama
