// For tests of the batcher: a model whose next token depends on all tokens of its sequence and on nothing else, answers
// that take what it says, and a sink that waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "generate/batcher_model.h"
#include "generate/sequence.h"
#include "support/fail.h"

namespace hypura {

class FakeModel : public BatchModel {
 public:
  explicit FakeModel(uint32_t sequences, PassLimits limits = {16, 16}) : limits_(limits), held_(sequences) {}

  uint32_t sequences() const override { return static_cast<uint32_t>(held_.size()); }
  PassLimits limits() const override { return limits_; }
  bool can_cut() const override { return true; }

  Status walk(std::span<const PassToken> tokens, uint32_t prompt_tokens) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ > 0; });
    --waiting_;
    open_ -= open_ == kOpen ? 0 : 1;
    std::this_thread::sleep_for(takes_);
    passes_.emplace_back(tokens.begin(), tokens.end());
    prompt_tokens_.push_back(prompt_tokens);
    if (std::exchange(fails_, false)) {
      return fail(ErrorCode::kIo, "the disk is gone");
    }
    rows_.assign(tokens.size(), 0);
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::vector<int32_t>& held = held_[tokens[i].sequence];
      in_order_ = in_order_ && tokens[i].position == held.size();
      held.push_back(tokens[i].token);
      rows_[i] = static_cast<float>(next(held));
    }
    return {};
  }

  void note_drafted(uint32_t drafted, uint32_t right) override {
    drafted_ += drafted;
    right_ += right;
  }

  const float* logits(size_t index) override { return &rows_[index]; }

  uint32_t cut(uint32_t sequence, uint32_t count) override {
    held_[sequence].resize(count);
    return count;
  }

  uint32_t copy(uint32_t from, uint32_t to, uint32_t count) override {
    in_order_ = in_order_ && held_[to].empty() && held_[from].size() >= count;
    held_[to].assign(held_[from].begin(), held_[from].begin() + count);
    return count;
  }

  // The embedding of a token is its number.
  Status embed(std::span<const PassToken> tokens, std::vector<float>& sum) override {
    sum.resize(1);
    for (const PassToken& it : tokens) {
      in_order_ = in_order_ && it.position == held_[it.sequence].size();
      held_[it.sequence].push_back(it.token);
      sum[0] += static_cast<float>(it.token);
    }
    return {};
  }
  uint32_t embed_limit() const override { return 3; }

  static int32_t next(const std::vector<int32_t>& tokens) {
    uint32_t hash = 17;
    for (const int32_t token : tokens) {
      hash = hash * 31 + static_cast<uint32_t>(token);
    }
    return static_cast<int32_t>(hash % 1000);
  }

  // For tests: passes wait until they are let through; all are unless close() was called.
  void close() { set_open(0); }
  // Before the first pass: that each takes so long, whatever its tokens.
  void take(std::chrono::microseconds time) { takes_ = time; }
  void let_one_through() { set_open(1); }
  void open() { set_open(kOpen); }
  // Until a pass waits.
  void wait_for_pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0 && open_ == 0; });
  }
  void fail_next() {
    const std::lock_guard lock(mutex_);
    fails_ = true;
  }
  std::vector<std::vector<PassToken>> passes() const {
    const std::lock_guard lock(mutex_);
    return passes_;
  }
  std::vector<uint32_t> prompt_tokens() const {
    const std::lock_guard lock(mutex_);
    return prompt_tokens_;
  }
  // Whether every token came at the end of its sequence. When the batcher is gone, as what follows.
  bool in_order() const { return in_order_; }
  uint32_t drafted() const { return drafted_; }
  uint32_t right() const { return right_; }

 private:
  static constexpr int kOpen = 1 << 30;

  void set_open(int passes) {
    const std::lock_guard lock(mutex_);
    open_ = passes;
    changed_.notify_all();
  }

  PassLimits limits_;
  std::vector<std::vector<int32_t>> held_;
  std::vector<float> rows_;
  std::chrono::microseconds takes_{0};
  bool in_order_ = true;
  uint32_t drafted_ = 0;
  uint32_t right_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  int open_ = kOpen;
  int waiting_ = 0;
  bool fails_ = false;
  std::vector<std::vector<PassToken>> passes_;
  std::vector<uint32_t> prompt_tokens_;
};

// Says the tokens that the model wants, so many.
class FakeSource : public AnswerSource {
 public:
  explicit FakeSource(uint32_t tokens) : left_(tokens) {}

  AnswerStep step(const float* logits) override {
    AnswerStep step;
    step.token = static_cast<int32_t>(logits[0]);
    step.piece.content = std::to_string(*step.token) + " ";
    if (--left_ == 0) {
      step.stop = StopReason::kLength;
    }
    return step;
  }

  AnswerPiece finish() override {
    AnswerPiece piece;
    piece.content = ".";
    return piece;
  }

 private:
  uint32_t left_;
};

class WaitingSink : public AnswerSink {
 public:
  void on_piece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    text_ += piece.content;
    after_end_ = after_end_ || end_.has_value();
    changed_.notify_all();
  }

  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    ++ends_;
    end_ = std::move(end);
    changed_.notify_all();
  }

  AnswerEnd wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return end_.has_value(); });
    return *end_;
  }
  void wait_for_text() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !text_.empty(); });
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  // Whether exactly one end came, and nothing after it.
  bool ended_once() {
    const std::lock_guard lock(mutex_);
    return ends_ == 1 && !after_end_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::optional<AnswerEnd> end_;
  int ends_ = 0;
  bool after_end_ = false;
};

inline Job fake_job(std::vector<int32_t> prompt, uint32_t tokens, std::shared_ptr<AnswerSink> sink) {
  Job job;
  job.prompt = std::move(prompt);
  job.limit = 1000;
  job.source = std::make_unique<FakeSource>(tokens);
  job.sink = std::move(sink);
  return job;
}

}  // namespace hypura
