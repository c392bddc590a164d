#include "server/metrics.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void Histogram::observe(double seconds) {
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), seconds);
  ++counts[static_cast<size_t>(bound - bounds.begin())];
  sum += seconds;
  ++count;
}

// Models from disk make a token in milliseconds or in seconds, and read a long prompt for minutes.
Metrics::Numbers::Numbers()
    : request_seconds({0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800}),
      first_token_seconds({0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}),
      between_token_seconds({0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}),
      queue_seconds({0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300}) {}

class Metrics::Watch : public AnswerSink {
 public:
  Watch(Metrics& metrics, std::shared_ptr<Exchange> exchange, std::shared_ptr<AnswerSink> sink)
      : metrics_(metrics), exchange_(std::move(exchange)), sink_(std::move(sink)) {}

  void on_prompt(uint32_t tokens) override { sink_->on_prompt(tokens); }

  void on_piece(AnswerPiece piece) override {
    const auto now = Clock::now();
    {
      const std::lock_guard lock(metrics_.mutex_);
      Numbers& numbers = metrics_.numbers_;
      (last_ ? numbers.between_token_seconds : numbers.first_token_seconds)
          .observe(seconds_between(last_.value_or(submitted_), now));
    }
    last_ = now;
    sink_->on_piece(std::move(piece));
  }

  void on_end(AnswerEnd end) override {
    {
      const std::lock_guard lock(metrics_.mutex_);
      Numbers& numbers = metrics_.numbers_;
      ++numbers.answers[end.stop];
      numbers.prompt_tokens += end.prompt_tokens;
      numbers.cached_tokens += end.cached_prompt_tokens;
      numbers.answer_tokens += end.answer_tokens;
      numbers.queue_seconds.observe(end.queued_seconds);
    }
    exchange_->count_tokens(end.prompt_tokens, end.answer_tokens);
    if (end.cut_from > 0) {
      exchange_->note_cut(end.cut_from, end.prompt_tokens);
    }
    sink_->on_end(std::move(end));
  }

 private:
  Metrics& metrics_;
  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<AnswerSink> sink_;
  const Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> last_;  // of the generator's thread
};

std::shared_ptr<AnswerSink> Metrics::watch(std::shared_ptr<Exchange> exchange, std::shared_ptr<AnswerSink> sink) {
  return std::make_shared<Watch>(*this, std::move(exchange), std::move(sink));
}

void Metrics::embedded(Exchange& exchange, uint32_t tokens) {
  {
    const std::lock_guard lock(mutex_);
    numbers_.prompt_tokens += tokens;
  }
  exchange.count_tokens(tokens, 0);
}

void Metrics::answered(const std::string& route, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++numbers_.requests[{route, status}];
  numbers_.request_seconds.observe(seconds);
}

Metrics::Numbers Metrics::numbers() const {
  const std::lock_guard lock(mutex_);
  return numbers_;
}

}  // namespace hypura
