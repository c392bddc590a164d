// An answer as a response: items of output, and the events that tell how they come about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hypura/generator.h"
#include "server/json/json.h"

namespace hypura::openai {

// Takes an answer piece by piece. Each function gives the text of its events, which a client that wants no stream does
// without; response() is the whole so far. Belongs to one thread at a time.
class ResponsesWriter {
 public:
  // `model` is the name as the request spells it, `echo` the fields that repeat the request. `give_reasoning`: the
  // reasoning comes with a copy that clients send back.
  ResponsesWriter(std::string model, Json echo, bool give_reasoning);

  std::string begin();
  std::string piece(AnswerPiece piece);
  std::string end(const AnswerEnd& end);
  std::string fail(const Error& error);

  const Json& response() const { return response_; }

 private:
  enum class Item { kNone, kReasoning, kMessage };

  void event(std::string_view type, Json fields);
  void status_event(std::string_view status);
  // Closes the item that is open, if it is another, and opens this one.
  void open(Item item);
  void close(std::string_view status = "completed");
  void close_reasoning();
  void close_message(std::string_view status);
  void add_thinking(std::string text);
  void add_text(std::string text, const std::vector<TokenLogprob>& logprobs);
  void add_call(const ToolCall& call);
  // Where an event of the open item belongs: its id and its index, and that of its part.
  Json at_part(const char* index_of_part) const;
  Json message_part() const;
  void add_done_item(Json item);

  Json response_;
  const bool give_reasoning_;
  std::string events_;
  int64_t sequence_ = 0;

  // The open item.
  Item item_ = Item::kNone;
  std::string item_id_;
  std::string text_;
  Json logprobs_ = Json::array();
};

}  // namespace hypura::openai
