#include "server/http/http_exchange.h"

#include <exception>
#include <utility>

#include "support/log.h"

namespace hypura {

namespace {

void call(const std::function<void()>& callback) {
  try {
    callback();
  } catch (const std::exception& error) {
    logger().error("a callback for a client that disconnected or waits failed: {}", error.what());
  }
}

}  // namespace

HttpExchange::~HttpExchange() {
  ExchangeStep released;
  released.kind = ExchangeStep::Kind::kReleased;
  port_->post(turn_, std::move(released));
}

void HttpExchange::step(State before, State after, ExchangeStep step) {
  // Destroyed without the lock: they may hold this exchange.
  std::function<void()> unneeded;
  std::function<void()> unneeded_quiet;
  const std::lock_guard lock(mutex_);
  if (state_ != before) {
    return;
  }
  state_ = after;
  quiet_since_ = std::chrono::steady_clock::now();
  if (after == State::kDone) {
    unneeded = std::exchange(callback_, nullptr);
    unneeded_quiet = std::exchange(quiet_callback_, nullptr);
  }
  if (!deaf_) {
    port_->post(turn_, std::move(step));
  }
}

void HttpExchange::respond(HttpResponse response) {
  ExchangeStep respond;
  respond.kind = ExchangeStep::Kind::kRespond;
  respond.response = std::move(response);
  step(State::kOpen, State::kDone, std::move(respond));
}

void HttpExchange::start(HttpResponse response) {
  ExchangeStep start;
  start.kind = ExchangeStep::Kind::kStart;
  start.response = std::move(response);
  step(State::kOpen, State::kStreaming, std::move(start));
}

void HttpExchange::write(std::string piece) {
  ExchangeStep more;
  more.piece = std::move(piece);
  step(State::kStreaming, State::kStreaming, std::move(more));
}

void HttpExchange::finish() {
  ExchangeStep finish;
  finish.kind = ExchangeStep::Kind::kFinish;
  step(State::kStreaming, State::kDone, std::move(finish));
}

void HttpExchange::on_gone(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kDone) {
    return;
  }
  if (!gone_) {
    callback_ = std::move(callback);
    return;
  }
  ExchangeStep late;
  late.kind = ExchangeStep::Kind::kCall;
  late.call = [callback = std::move(callback)] { call(callback); };
  port_->post(turn_, std::move(late));
}

void HttpExchange::on_quiet(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kDone) {
    quiet_callback_ = std::move(callback);
    quiet_since_ = std::chrono::steady_clock::now();
  }
}

void HttpExchange::check_quiet(std::chrono::steady_clock::time_point now, std::chrono::milliseconds time) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (!quiet_callback_ || gone_ || now < quiet_since_ + time) {
      return;
    }
    quiet_since_ = now;
    callback = quiet_callback_;
  }
  call(callback);
}

void HttpExchange::count_tokens(uint32_t prompt, uint32_t answer) {
  record_->prompt_tokens += prompt;
  record_->answer_tokens += answer;
}

void HttpExchange::note_cut(uint32_t from, uint32_t to) {
  if (from > record_->cut_from) {
    record_->cut_from = from;
    record_->cut_to = to;
  }
}

bool HttpExchange::is_gone() {
  const std::lock_guard lock(mutex_);
  return deaf_;
}

bool HttpExchange::gone(bool still_listens) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    deaf_ = !still_listens;
    callback = std::exchange(callback_, nullptr);
  }
  if (!callback) {
    return false;
  }
  call(callback);
  return true;
}

}  // namespace hypura
