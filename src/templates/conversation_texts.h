// What a template makes of one conversation. llama.cpp renders it three times whenever it applies a template, and a
// request applies it several times.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace hypura {

// The texts of one conversation, without and with how an answer to it begins. Those that are there are given to
// llama.cpp in place of a rendering; others are noted when it renders them.
struct ConversationTexts {
  std::optional<std::string> without;
  std::optional<std::string> begun;

  // Of those that are there, the ends: enough to tell how an answer begins.
  ConversationTexts ends() const;
};

// The variable that says to a template's nodes that the conversation is the one that was asked for, not one that
// llama.cpp tries the template with.
inline constexpr const char* kAskedVariable = "hypura_asked";

// While it lives, this thread's renderings of the conversation that was asked for are noted in, or taken from, `texts`.
class NotedTexts {
 public:
  explicit NotedTexts(ConversationTexts& texts);
  ~NotedTexts();
  NotedTexts(const NotedTexts&) = delete;
  NotedTexts& operator=(const NotedTexts&) = delete;

  // Null where no such object lives.
  static ConversationTexts* current();
};

}  // namespace hypura
