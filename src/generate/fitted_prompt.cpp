#include "generate/fitted_prompt.h"

#include <algorithm>

#include "generate/scheduler/pass_policy.h"
#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

// What is to be made tokens of.
struct Fitting {  // NOLINT(cppcoreguidelines-pro-type-member-init): there is no vocabulary to begin with
  Vocabulary vocab;
  const TextBound& bound;
  uint32_t limit = 0;
};

tl::unexpected<Error> too_long(uint64_t tokens, bool estimated, uint32_t limit) {
  Error error{ErrorCode::kContextFull,
              fmt::format("prompt is too long: the prompt ({}{} tokens) exceeds the available context size ({} tokens)",
                          estimated ? "about " : "", tokens, limit),
              Overflow{tokens, estimated, limit}};
  return propagate(std::move(error));
}

size_t text_size(const ChatMessage& message) {
  size_t size = message.content.size() + message.thinking.size();
  for (const ToolCall& call : message.tool_calls) {
    size += call.name.size() + call.arguments.size();
  }
  return size;
}

// What each message takes of a prompt of so many tokens, by its share of the text and an even part of the rest.
std::vector<size_t> message_sizes(const std::vector<ChatMessage>& messages, size_t tokens, size_t prompt_size) {
  std::vector<size_t> sizes;
  size_t text = 0;
  for (const ChatMessage& message : messages) {
    sizes.push_back(text_size(message));
    text += sizes.back();
  }
  const size_t whole = std::max({prompt_size, text, size_t{1}});
  const size_t around = (whole - text) / sizes.size();
  for (size_t& size : sizes) {
    size = static_cast<size_t>(static_cast<double>(tokens) * static_cast<double>(size + around) /
                               static_cast<double>(whole));
  }
  return sizes;
}

// Tokens of a prompt, or about how many.
uint64_t size_of(const RenderedChat& chat) {
  return chat.estimate > 0 ? chat.estimate : chat.tokens.size();
}

// Leaves the end of the longest message's text, of `bytes` at most. False when none is longer.
bool shorten_longest(std::vector<ChatMessage>& messages, size_t bytes) {
  const auto longest = std::max_element(messages.begin(), messages.end(), [](const auto& a, const auto& b) {
    return a.content.size() < b.content.size();
  });
  if (longest == messages.end() || longest->content.size() <= bytes) {
    return false;
  }
  longest->content = end_of(longest->content, bytes);
  return true;
}

// A conversation as it is, or without its oldest messages.
struct Conversation {
  RenderedChat chat;
  uint64_t at_first = 0;  // tokens before messages were left out, perhaps estimated; 0: none were
};

// Without its oldest messages where the conversation would be more than `most` tokens and may be cut; without the
// beginning of the longest that are left, where it could still not be tokenised.
Result<Conversation> shortened(const ChatFormat& format, const Fitting& fit, const AnswerRequest& request,
                               size_t most) {
  const TextLimit limit{fit.bound, most};
  auto rendered = format.render(request, request.messages, &limit);
  if (!rendered) {
    return propagate(rendered.error());
  }
  Conversation result{std::move(*rendered), 0};
  if (!request.truncate || size_of(result.chat) <= most) {
    return result;
  }
  result.at_first = size_of(result.chat);
  std::vector<ChatMessage> messages = request.messages;
  std::vector<size_t> sizes = message_sizes(messages, result.at_first, result.chat.text.size());
  const auto render = [&] {
    if (auto shorter = format.render(request, messages, &limit)) {
      result.chat = std::move(*shorter);
    }  // else the template does not want a conversation that begins here: it is made shorter still
  };
  while (size_of(result.chat) > most && drop_oldest(messages, sizes, size_of(result.chat) - most)) {
    render();
  }
  while (result.chat.estimate > 0 && shorten_longest(messages, kAlwaysTokenised / 2)) {
    render();
  }
  return result;
}

// The first `request.keep` tokens of the context and the text behind it and the last ones, half of `limit` together, as
// cut_middle would leave them.
FittedPrompt cut_text(const Fitting& fit, const AnswerRequest& request, std::string_view text) {
  constexpr size_t kBytesAtLeast = 4096;
  constexpr size_t kBytesOfLongToken = 64;
  const size_t most = std::max<uint32_t>(fit.limit / 2, 1);
  const size_t head = std::min<size_t>(request.keep, most - 1);
  double share = 1;
  const std::vector<int32_t> end = tokenize_end(fit.vocab, text, most, true, share);
  FittedPrompt fitted;
  const double all = static_cast<double>(end.size()) / share + static_cast<double>(request.context.size());
  fitted.cut_from = static_cast<uint32_t>(std::min<double>(all, UINT32_MAX));
  fitted.tokens = request.context;
  if (fitted.tokens.size() < head) {
    const auto beginning = beginning_of(text, std::max(kBytesAtLeast, head * kBytesOfLongToken));
    const std::vector<int32_t> first = tokenize_text(fit.vocab, beginning, fitted.tokens.empty(), true);
    fitted.tokens.insert(fitted.tokens.end(), first.begin(), first.end());
  }
  fitted.tokens.resize(std::min(head, fitted.tokens.size()));
  const size_t tail = std::min(most - fitted.tokens.size(), end.size());
  fitted.tokens.insert(fitted.tokens.end(), end.end() - static_cast<std::ptrdiff_t>(tail), end.end());
  return fitted;
}

// The request's context and `rest` after it. `at_first`: tokens of the rest before it was made shorter; 0: it was not.
Result<FittedPrompt> with_context(const Fitting& fit, const AnswerRequest& request, const std::vector<int32_t>& rest,
                                  uint64_t at_first) {
  std::vector<int32_t> tokens = request.context;
  const bool begins_anew = !tokens.empty() && !rest.empty() && rest.front() == fit.vocab.bos();
  tokens.insert(tokens.end(), rest.begin() + (begins_anew ? 1 : 0), rest.end());
  if (tokens.empty()) {
    return fail(ErrorCode::kUsage, "the prompt is empty, or the vocabulary has no tokens for it");
  }
  if (tokens.size() > fit.limit && !request.truncate) {
    return too_long(tokens.size(), false, fit.limit);
  }
  FittedPrompt fitted;
  if (at_first > 0) {
    fitted.cut_from = static_cast<uint32_t>(std::min<uint64_t>(request.context.size() + at_first, UINT32_MAX));
  }
  if (tokens.size() > fit.limit) {
    fitted.cut_from = std::max(fitted.cut_from, static_cast<uint32_t>(tokens.size()));
    tokens = cut_middle(tokens, request.keep, fit.limit);
  }
  fitted.tokens = std::move(tokens);
  return fitted;
}

}  // namespace

Result<FittedPrompt> fit_prompt(const ChatFormat& format, Vocabulary vocab, const TextBound& bound,
                                const AnswerRequest& request, uint32_t limit) {
  const Fitting fit{vocab, bound, limit};
  if (request.prompt) {
    const uint64_t estimate = estimate_if_beyond(bound, vocab, *request.prompt, limit);
    if (estimate > 0 && request.truncate) {
      return cut_text(fit, request, *request.prompt);
    }
    if (estimate > 0) {
      return too_long(request.context.size() + estimate, true, limit);
    }
    return with_context(fit, request, tokenize_text(vocab, *request.prompt, true, true), 0);
  }
  auto fitted = shortened(format, fit, request, limit - std::min<size_t>(limit, request.context.size()));
  if (!fitted) {
    return propagate(fitted.error());
  }
  if (fitted->chat.estimate > 0) {
    return too_long(request.context.size() + fitted->chat.estimate, true, limit);
  }
  auto prompt = with_context(fit, request, fitted->chat.tokens, fitted->at_first);
  if (prompt) {
    prompt->answer = std::move(fitted->chat.answer);
  }
  return prompt;
}

Result<FittedPrompt> fit_text(Vocabulary vocab, const TextBound& bound, std::string_view text, bool truncate,
                              uint32_t limit) {
  const uint64_t estimate = estimate_if_beyond(bound, vocab, text, limit);
  if (estimate > 0 && !truncate) {
    return too_long(estimate, true, limit);
  }
  if (estimate > 0) {
    constexpr size_t kBytesOfLongToken = 64;
    text = beginning_of(text, size_t{limit} * kBytesOfLongToken);
  }
  auto fitted = fit_tokens(tokenize_text(vocab, text, true, false), truncate, limit);
  if (fitted && estimate > 0) {
    fitted->cut_from = static_cast<uint32_t>(std::min<uint64_t>(estimate, UINT32_MAX));
  }
  return fitted;
}

Result<FittedPrompt> fit_tokens(const std::vector<int32_t>& tokens, bool truncate, uint32_t limit) {
  if (tokens.size() > limit && !truncate) {
    return too_long(tokens.size(), false, limit);
  }
  FittedPrompt fitted;
  fitted.tokens = tokens;
  if (tokens.size() > limit) {
    fitted.cut_from = static_cast<uint32_t>(tokens.size());
    fitted.tokens.resize(limit);
  }
  return fitted;
}

bool drop_oldest(std::vector<ChatMessage>& messages, std::vector<size_t>& sizes, size_t excess) {
  size_t gone = 0;
  bool any = false;
  for (size_t i = 0; i + 1 < messages.size();) {
    const bool orphan = any && messages[i].role == "tool";
    if (gone >= excess && any && !orphan) {
      break;
    }
    if (messages[i].role == "system") {
      ++i;
      continue;
    }
    gone += sizes[i];
    any = true;
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(i));
    sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return any;
}

}  // namespace hypura
