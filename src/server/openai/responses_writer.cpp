#include "server/openai/responses_writer.h"

#include <utility>

#include "server/openai/replies.h"
#include "server/v1/sse.h"
#include "support/random_id.h"

namespace hypura::openai {

namespace {

Json usage_of(const AnswerEnd& end) {
  return {{"input_tokens", end.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", end.cached_prompt_tokens}}},
          {"output_tokens", end.answer_tokens},
          {"output_tokens_details", {{"reasoning_tokens", end.thinking_tokens}}},
          {"total_tokens", end.prompt_tokens + end.answer_tokens}};
}

Json summary_part(const std::string& text) {
  return {{"type", "summary_text"}, {"text", text}};
}

}  // namespace

ResponsesWriter::ResponsesWriter(std::string model, Json echo, bool give_reasoning) : give_reasoning_(give_reasoning) {
  response_ = {
      {"id", random_id("resp_")}, {"object", "response"}, {"created_at", now_seconds()},   {"completed_at", nullptr},
      {"status", "in_progress"},  {"error", nullptr},     {"incomplete_details", nullptr}, {"model", std::move(model)},
      {"output", Json::array()},  {"usage", nullptr}};
  response_.update(echo);
}

std::string ResponsesWriter::begin() {
  event("response.created", {{"response", response_}});
  event("response.in_progress", {{"response", response_}});
  return std::exchange(events_, {});
}

std::string ResponsesWriter::piece(AnswerPiece piece) {
  if (!piece.thinking.empty()) {
    add_thinking(std::move(piece.thinking));
  }
  // What was sampled for thoughts and calls has no place for its probabilities.
  if (!piece.content.empty() || (item_ == Item::kMessage && !piece.logprobs.empty())) {
    add_text(std::move(piece.content), piece.logprobs);
  }
  for (const ToolCall& call : piece.tool_calls) {
    add_call(call);
  }
  return std::exchange(events_, {});
}

std::string ResponsesWriter::end(const AnswerEnd& end) {
  const bool cut = end.stop == StopReason::kLength || end.stop == StopReason::kContextFull;
  const std::string_view status = cut ? "incomplete" : "completed";
  if (item_ == Item::kNone && response_["output"].empty()) {
    open(Item::kMessage);
  }
  close(status);
  if (cut) {
    response_["incomplete_details"] = {{"reason", "max_output_tokens"}};
  } else {
    response_["completed_at"] = now_seconds();
  }
  response_["usage"] = usage_of(end);
  status_event(status);
  return std::exchange(events_, {});
}

std::string ResponsesWriter::fail(const Error& error) {
  close("incomplete");
  response_["error"] = {{"code", "server_error"}, {"message", error.message}};
  status_event("failed");
  return std::exchange(events_, {});
}

void ResponsesWriter::event(std::string_view type, Json fields) {
  Json json = {{"type", type}, {"sequence_number", sequence_++}};
  json.update(fields);
  events_ += v1::sse_event(json);
}

void ResponsesWriter::status_event(std::string_view status) {
  response_["status"] = status;
  event("response." + std::string(status), {{"response", response_}});
}

Json ResponsesWriter::at_part(const char* index_of_part) const {
  return {{"item_id", item_id_}, {"output_index", response_["output"].size()}, {index_of_part, 0}};
}

Json ResponsesWriter::message_part() const {
  return {{"type", "output_text"}, {"text", text_}, {"annotations", Json::array()}, {"logprobs", logprobs_}};
}

void ResponsesWriter::open(Item item) {
  if (item_ == item) {
    return;
  }
  close();
  item_ = item;
  text_.clear();
  logprobs_ = Json::array();
  const size_t index = response_["output"].size();
  if (item == Item::kReasoning) {
    item_id_ = random_id("rs_");
    event("response.output_item.added",
          {{"output_index", index}, {"item", {{"id", item_id_}, {"type", "reasoning"}, {"summary", Json::array()}}}});
    Json fields = at_part("summary_index");
    fields["part"] = summary_part("");
    event("response.reasoning_summary_part.added", std::move(fields));
    return;
  }
  item_id_ = random_id("msg_");
  event("response.output_item.added", {{"output_index", index},
                                       {"item",
                                        {{"id", item_id_},
                                         {"type", "message"},
                                         {"status", "in_progress"},
                                         {"role", "assistant"},
                                         {"content", Json::array()}}}});
  Json fields = at_part("content_index");
  fields["part"] = message_part();
  event("response.content_part.added", std::move(fields));
}

void ResponsesWriter::close(std::string_view status) {
  if (item_ == Item::kReasoning) {
    close_reasoning();
  } else if (item_ == Item::kMessage) {
    close_message(status);
  }
  item_ = Item::kNone;
}

void ResponsesWriter::close_reasoning() {
  Json fields = at_part("summary_index");
  fields["text"] = text_;
  event("response.reasoning_summary_text.done", std::move(fields));
  fields = at_part("summary_index");
  fields["part"] = summary_part(text_);
  event("response.reasoning_summary_part.done", std::move(fields));
  Json item = {{"id", item_id_}, {"type", "reasoning"}, {"summary", Json::array({summary_part(text_)})}};
  if (give_reasoning_) {
    item["encrypted_content"] = text_;
  }
  add_done_item(std::move(item));
}

void ResponsesWriter::close_message(std::string_view status) {
  Json fields = at_part("content_index");
  fields["text"] = text_;
  fields["logprobs"] = logprobs_;
  event("response.output_text.done", std::move(fields));
  fields = at_part("content_index");
  fields["part"] = message_part();
  event("response.content_part.done", std::move(fields));
  add_done_item({{"id", item_id_},
                 {"type", "message"},
                 {"status", status},
                 {"role", "assistant"},
                 {"content", Json::array({message_part()})}});
}

void ResponsesWriter::add_thinking(std::string text) {
  open(Item::kReasoning);
  text_ += text;
  Json fields = at_part("summary_index");
  fields["delta"] = std::move(text);
  event("response.reasoning_summary_text.delta", std::move(fields));
}

void ResponsesWriter::add_text(std::string text, const std::vector<TokenLogprob>& logprobs) {
  open(Item::kMessage);
  text_ += text;
  Json probabilities = logprobs_json(logprobs);
  logprobs_.insert(logprobs_.end(), probabilities.begin(), probabilities.end());
  Json fields = at_part("content_index");
  fields["delta"] = std::move(text);
  fields["logprobs"] = std::move(probabilities);
  event("response.output_text.delta", std::move(fields));
}

void ResponsesWriter::add_call(const ToolCall& call) {
  close();
  item_id_ = random_id("fc_");
  const size_t index = response_["output"].size();
  Json item = {{"id", item_id_},          {"type", "function_call"},
               {"status", "in_progress"}, {"call_id", call.id.empty() ? random_id("call_") : call.id},
               {"name", call.name},       {"arguments", ""}};
  const Json place = {{"item_id", item_id_}, {"output_index", index}};
  event("response.output_item.added", {{"output_index", index}, {"item", item}});
  Json fields = place;
  fields["delta"] = call.arguments;
  event("response.function_call_arguments.delta", std::move(fields));
  fields = place;
  fields["name"] = call.name;
  fields["arguments"] = call.arguments;
  event("response.function_call_arguments.done", std::move(fields));
  item["status"] = "completed";
  item["arguments"] = call.arguments;
  add_done_item(std::move(item));
}

void ResponsesWriter::add_done_item(Json item) {
  event("response.output_item.done", {{"output_index", response_["output"].size()}, {"item", item}});
  response_["output"].push_back(std::move(item));
}

}  // namespace hypura::openai
