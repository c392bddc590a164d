// A service that does what a test says, and remembers how requests ended.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/http/http_server.h"
#include "server/http/http_service.h"

namespace hypura {

class TestService : public HttpService {
 public:
  std::function<void(const std::shared_ptr<Exchange>&)> on_request;
  std::function<std::optional<HttpResponse>(const HttpRequest&)> on_header;

  std::optional<HttpResponse> admit(const HttpRequest& request) override {
    return on_header ? on_header(request) : std::nullopt;
  }
  void handle(const std::shared_ptr<Exchange>& exchange) override { on_request(exchange); }
  HttpResponse error(const HttpRequest& request, int status, const std::string& sentence) const override {
    HttpResponse response;
    response.status = status;
    response.body = "{\"path\":\"" + request.path + "\",\"error\":\"" + sentence + "\"}";
    return response;
  }
  void decorate(const HttpRequest&, HttpResponse& response) const override {
    response.headers.emplace_back("X-Test", "yes");
  }
  void answered(const HttpRequest& request, const HttpOutcome& outcome) override {
    const std::lock_guard lock(mutex_);
    outcomes_.emplace_back(request.path, outcome);
    changed_.notify_all();
  }

  // The outcomes once there are `count`.
  std::vector<std::pair<std::string, HttpOutcome>> outcomes(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(5), [&] { return outcomes_.size() >= count; }));
    return outcomes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, HttpOutcome>> outcomes_;
};

// Something that happens once on another thread.
class Event {
 public:
  void happen() {
    const std::lock_guard lock(mutex_);
    happened_ = true;
    changed_.notify_all();
  }
  bool wait(std::chrono::milliseconds at_most = std::chrono::seconds(5)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [this] { return happened_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool happened_ = false;
};

// A server on a free port of loopback. Change limits and service first, then serve().
class HttpServerTest : public testing::Test {
 protected:
  void serve() {
    auto server = HttpServer::listen({"127.0.0.1", 0}, limits, service);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    server_->serve();
  }
  uint16_t port() const { return server_->port(); }
  HttpServer& server() { return *server_; }

  HttpLimits limits;
  TestService service;

 private:
  std::unique_ptr<HttpServer> server_;
};

inline HttpResponse text_response(std::string body) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

// Answers with method, path, query and body.
inline void echo(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  exchange->respond(text_response(request.method + " " + request.path + "?" + request.query + "|" + request.body));
}

}  // namespace hypura
