// For tests: asks a served model and hears the answer out.
#pragma once

#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "hypura/serving.h"

namespace hypura {

// All that was said.
struct Heard {
  std::string content;
  std::string thinking;
  std::vector<ToolCall> tool_calls;
  std::vector<TokenLogprob> logprobs;
  size_t pieces = 0;
  AnswerEnd end;
};

class HearingSink : public AnswerSink {
 public:
  void on_piece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    heard_.content += piece.content;
    heard_.thinking += piece.thinking;
    heard_.tool_calls.insert(heard_.tool_calls.end(), piece.tool_calls.begin(), piece.tool_calls.end());
    heard_.logprobs.insert(heard_.logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
    ++heard_.pieces;
    changed_.notify_all();
  }

  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    heard_.end = std::move(end);
    ended_ = true;
    changed_.notify_all();
  }

  Heard wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
    return heard_;
  }

  void wait_for_text() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return heard_.pieces > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Heard heard_;
  bool ended_ = false;
};

inline std::shared_ptr<HearingSink> submit(Serving& serving, const AnswerRequest& request) {
  auto sink = std::make_shared<HearingSink>();
  if (const auto id = serving.submit(request, sink); !id) {
    AnswerEnd end;
    end.stop = AnswerStop::kError;
    end.error = id.error();
    sink->on_end(std::move(end));
  }
  return sink;
}

inline Heard ask(Serving& serving, const AnswerRequest& request) {
  return submit(serving, request)->wait();
}

// Greedy, from a text as it stands.
inline AnswerRequest continuing(const std::string& text, int32_t tokens) {
  AnswerRequest request;
  request.prompt = text;
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  return request;
}

inline ConversationMessage says(const std::string& role, const std::string& content) {
  ConversationMessage message;
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

// The cosine of the angle between two vectors.
inline double likeness(const std::vector<float>& a, const std::vector<float>& b) {
  const auto dot = [](const std::vector<float>& x, const std::vector<float>& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

}  // namespace hypura
