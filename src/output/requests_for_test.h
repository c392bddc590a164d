// For tests: requests of one sentence, and what was said.
#pragma once

#include <string>

#include "hypura/generator.h"

namespace hypura {

// All that was said.
struct Heard : AnswerPiece {
  size_t pieces = 0;
  AnswerEnd end;
};

// Greedy, from a text as it stands.
inline AnswerRequest continuing(const std::string& text, int32_t tokens) {
  AnswerRequest request;
  request.prompt = text;
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  return request;
}

inline ChatMessage says(const std::string& role, const std::string& content) {
  ChatMessage message;
  message.role = role;
  message.content = content;
  return message;
}

// Greedy, one message of a user's.
inline AnswerRequest asking(const std::string& question, int32_t tokens = 30) {
  AnswerRequest request;
  request.messages = {says("user", question)};
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  return request;
}

}  // namespace hypura
