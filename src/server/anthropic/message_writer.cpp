#include "server/anthropic/message_writer.h"

#include <algorithm>
#include <utility>

#include "server/anthropic/replies.h"
#include "server/v1/sse.h"
#include "support/log.h"
#include "support/random_id.h"

namespace hypura::anthropic {

namespace {

// As Anthropic counts: the prompt is what was read from the cache and the input besides.
Json usage_json(uint64_t prompt_tokens, uint64_t cached_tokens, uint64_t answer_tokens) {
  return {{"input_tokens", prompt_tokens - std::min(cached_tokens, prompt_tokens)},
          {"output_tokens", answer_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", cached_tokens}};
}

Json arguments_of(const ToolCall& call) {
  Result<Json> arguments = parse_json(call.arguments);
  if (!arguments || !arguments->is_object()) {
    logger().warn("the model called {} with arguments that are not a JSON object: {}", call.name, call.arguments);
    return Json::object();
  }
  return std::move(*arguments);
}

}  // namespace

MessageWriter::MessageWriter(std::string model) {
  message_ = {{"id", random_id("msg_")},   {"type", "message"},           {"role", "assistant"},
              {"model", std::move(model)}, {"content", Json::array()},    {"stop_reason", nullptr},
              {"stop_sequence", nullptr},  {"usage", usage_json(0, 0, 0)}};
}

std::string MessageWriter::begin(uint64_t prompt_tokens) {
  message_["usage"] = usage_json(prompt_tokens, 0, 0);
  event({{"type", "message_start"}, {"message", message_}});
  return std::exchange(events_, {});
}

std::string MessageWriter::piece(AnswerPiece piece) {
  if (!piece.thinking.empty()) {
    open(Block::kThinking);
    delta("thinking_delta", "thinking", std::move(piece.thinking));
  }
  if (!piece.content.empty()) {
    open(Block::kText);
    delta("text_delta", "text", std::move(piece.content));
  }
  for (const ToolCall& call : piece.tool_calls) {
    add_call(call);
  }
  return std::exchange(events_, {});
}

std::string MessageWriter::end(const AnswerEnd& end) {
  close();
  message_["stop_reason"] = stop_reason(end.stop, called_);
  if (end.stop == StopReason::kStopString && !called_) {
    message_["stop_sequence"] = end.stop_string;
  }
  message_["usage"] = usage_json(end.prompt_tokens, end.cached_prompt_tokens, end.answer_tokens);
  event({{"type", "message_delta"},
         {"delta", {{"stop_reason", message_["stop_reason"]}, {"stop_sequence", message_["stop_sequence"]}}},
         {"usage", message_["usage"]}});
  event({{"type", "message_stop"}});
  return std::exchange(events_, {});
}

void MessageWriter::event(const Json& json) {
  events_ += v1::sse_event(json);
}

void MessageWriter::open(Block block) {
  if (block_ == block) {
    return;
  }
  close();
  if (block == Block::kThinking) {
    open_block({{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
  } else {
    open_block({{"type", "text"}, {"text", ""}});
  }
  block_ = block;
}

void MessageWriter::open_block(Json block) {
  Json& content = message_["content"];
  event({{"type", "content_block_start"}, {"index", content.size()}, {"content_block", block}});
  content.push_back(std::move(block));
}

void MessageWriter::delta(const char* type, const char* field, std::string text) {
  Json& content = message_["content"];
  content.back()[field].get_ref<std::string&>() += text;
  event({{"type", "content_block_delta"},
         {"index", content.size() - 1},
         {"delta", {{"type", type}, {field, std::move(text)}}}});
}

void MessageWriter::close() {
  if (block_ != Block::kNone) {
    event({{"type", "content_block_stop"}, {"index", message_["content"].size() - 1}});
    block_ = Block::kNone;
  }
}

void MessageWriter::add_call(const ToolCall& call) {
  close();
  called_ = true;
  const std::string id = call.id.empty() ? random_id("toolu_") : call.id;
  open_block({{"type", "tool_use"}, {"id", id}, {"name", call.name}, {"input", Json::object()}});
  Json& content = message_["content"];
  Json arguments = arguments_of(call);
  event({{"type", "content_block_delta"},
         {"index", content.size() - 1},
         {"delta", {{"type", "input_json_delta"}, {"partial_json", dump_json(arguments)}}}});
  content.back()["input"] = std::move(arguments);
  event({{"type", "content_block_stop"}, {"index", content.size() - 1}});
}

}  // namespace hypura::anthropic
