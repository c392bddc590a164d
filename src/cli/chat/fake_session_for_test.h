// A session without a model: answers from a list, remembers what it was asked.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hypura/engine.h"
#include "support/fail.h"

namespace hypura {

class FakeSession : public Session {
 public:
  // The next chat() or complete() gives these pieces of text; `between` runs before each.
  void will_say(
      std::vector<std::string> pieces, StopReason stop = StopReason::kEndOfText,
      std::function<void()> between = [] {}) {
    replies_.push_back({std::move(pieces), std::nullopt, stop, std::move(between)});
  }

  // The next chat() or complete() fails.
  void will_fail(ErrorCode code, std::string message) {
    replies_.push_back({{}, Error{code, std::move(message)}, StopReason::kEndOfText, [] {}});
  }

  std::vector<std::vector<ChatMessage>> asked;
  int cleared = 0;

  Result<Generated> complete(std::string_view prompt, const GenerateOptions& options) override {
    asked.push_back({{"raw", std::string(prompt)}});
    return reply(options);
  }

  Result<Generated> chat(const std::vector<ChatMessage>& messages, const GenerateOptions& options) override {
    asked.push_back(messages);
    return reply(options);
  }

  std::vector<int32_t> tokenize(std::string_view, bool, bool) const override { return {}; }
  Result<std::vector<float>> evaluate(const std::vector<int32_t>&) override { return std::vector<float>(); }
  int32_t vocabulary() const override { return 1; }
  void clear() override { ++cleared; }
  uint32_t context_used() const override { return 12; }
  uint32_t context_size() const override { return 128; }

 private:
  struct Reply {
    std::vector<std::string> pieces;
    std::optional<Error> error;
    StopReason stop = StopReason::kEndOfText;
    std::function<void()> between;
  };

  Result<Generated> reply(const GenerateOptions& options) {
    if (replies_.empty()) {
      return fail(ErrorCode::kInternal, "the test gave no reply");
    }
    const Reply reply = std::move(replies_.front());
    replies_.pop_front();
    if (reply.error) {
      return propagate(*reply.error);
    }
    Generated generated;
    generated.stop = reply.stop;
    for (const std::string& piece : reply.pieces) {
      reply.between();
      if (!options.keep_going()) {
        generated.stop = StopReason::kCancelled;
        break;
      }
      generated.text += piece;
      if (!options.on_text(piece)) {
        generated.stop = StopReason::kCancelled;
        break;
      }
    }
    return generated;
  }

  std::deque<Reply> replies_;
};

}  // namespace hypura
