#include "templates/conversation_texts.h"

#include <algorithm>

namespace hypura {

namespace {

thread_local ConversationTexts* noted = nullptr;

}  // namespace

ConversationTexts ConversationTexts::ends() const {
  constexpr size_t kBefore = 256;  // llama.cpp looks at how the last message ends
  ConversationTexts ends = *this;
  size_t same = std::max(without ? without->size() : 0, begun ? begun->size() : 0);
  if (without && begun) {
    const auto end = std::mismatch(without->begin(), without->end(), begun->begin(), begun->end()).first;
    same = static_cast<size_t>(end - without->begin());
  }
  for (std::optional<std::string>* text : {&ends.without, &ends.begun}) {
    if (*text) {
      (*text)->erase(0, same - std::min(same, kBefore));
    }
  }
  return ends;
}

NotedTexts::NotedTexts(ConversationTexts& texts) {
  noted = &texts;
}

NotedTexts::~NotedTexts() {
  noted = nullptr;
}

ConversationTexts* NotedTexts::current() {
  return noted;
}

}  // namespace hypura
