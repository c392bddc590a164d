// An answer as a message: blocks of content, and the events that tell how they come about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "hypura/generator.h"
#include "server/json/json.h"

namespace hypura::anthropic {

// Takes an answer piece by piece. Each function gives the text of its events, which a client that wants no stream does
// without; message() is the whole so far. Belongs to one thread at a time.
class MessageWriter {
 public:
  // `model` is the name as the request spells it.
  explicit MessageWriter(std::string model);

  // `prompt_tokens`: as far as they are known before the answer.
  std::string begin(uint64_t prompt_tokens);
  std::string piece(AnswerPiece piece);
  std::string end(const AnswerEnd& end);

  const Json& message() const { return message_; }

 private:
  enum class Block { kNone, kThinking, kText };

  void event(const Json& json);
  // Closes the block that is open, if it is another, and opens this one.
  void open(Block block);
  void open_block(Json block);
  void delta(const char* type, const char* field, std::string text);
  void close();
  void add_call(const ToolCall& call);

  Json message_;
  std::string events_;
  Block block_ = Block::kNone;
  bool called_ = false;
};

}  // namespace hypura::anthropic
