// An exchange that keeps what is written to it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "server/exchange.h"

namespace hypura {

class FakeExchange : public Exchange {
 public:
  FakeExchange(std::string method, std::string path, std::string body = {}) {
    request_.head_only = method == "HEAD";
    request_.from_here = true;
    request_.method = std::move(method);
    request_.path = std::move(path);
    request_.body = std::move(body);
  }

  const HttpRequest& request() const override { return request_; }
  void set_from_here(bool from_here) { request_.from_here = from_here; }
  void add_header(std::string name, std::string value) {
    request_.headers.emplace_back(std::move(name), std::move(value));
  }

  void respond(HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    ++answers_;
    head_ = std::move(response);
    body_ = head_.body;
    done_ = true;
    changed_.notify_all();
  }

  void start(HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    ++answers_;
    head_ = std::move(response);
    streamed_ = true;
    add(head_.body);
  }

  void write(std::string piece) override {
    const std::lock_guard lock(mutex_);
    add(std::move(piece));
  }

  void finish() override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  void on_gone(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    on_gone_ = std::move(callback);
  }

  void on_quiet(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    on_quiet_ = std::move(callback);
  }

  // For tests: nothing was written for long. False when nobody wants to know.
  bool quiet() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      callback = on_quiet_;
    }
    if (callback) {
      callback();
    }
    return callback != nullptr;
  }

  // For tests: the client goes.
  void go() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      callback = std::exchange(on_gone_, nullptr);
    }
    if (callback) {
      callback();
    }
  }

  // Waits for the end of the answer; false when it does not come.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [this] { return done_; });
  }

  // The answer so far. To be called when no other thread writes.
  bool done() const { return done_; }
  bool streamed() const { return streamed_; }
  int answers() const { return answers_; }  // 1 in the end
  int status() const { return head_.status; }
  const HttpResponse& head() const { return head_; }
  const std::string& body() const { return body_; }
  const std::vector<std::string>& pieces() const { return pieces_; }  // of a stream

 private:
  void add(std::string piece) {
    body_ += piece;
    if (!piece.empty()) {
      pieces_.push_back(std::move(piece));
    }
  }

  HttpRequest request_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> on_gone_;
  std::function<void()> on_quiet_;
  HttpResponse head_;
  std::string body_;
  std::vector<std::string> pieces_;
  int answers_ = 0;
  bool streamed_ = false;
  bool done_ = false;
};

}  // namespace hypura
