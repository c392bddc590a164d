#include "server/server.h"

#include <utility>

#include "server/metrics.h"
#include "server/router.h"
#include "server/server_log.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

class WholeServer : public Server, private HttpService {
 public:
  WholeServer(const ServerOptions& options, std::vector<Route> routes, ModelHost& host, Metrics& metrics)
      : rules_(options.access), router_(std::move(routes)), context_{host,
                                                                     metrics,
                                                                     options.context,
                                                                     options.library,
                                                                     options.allow_changes,
                                                                     options.pulls,
                                                                     options.memory} {}
  ~WholeServer() override { stop(std::chrono::milliseconds(0)); }
  WholeServer(const WholeServer&) = delete;
  WholeServer& operator=(const WholeServer&) = delete;

  Status serve(const ServerOptions& options) {
    auto http = HttpServer::listen(options.address, options.limits, *this);
    if (!http) {
      return propagate(http.error());
    }
    http_ = std::move(*http);
    rules_.check_host = http_->is_loopback();
    http_->serve();
    return {};
  }

  uint16_t port() const override { return http_->port(); }
  bool is_loopback() const override { return http_->is_loopback(); }

  // Of all addresses, the one that works on this machine.
  std::string url() const override {
    const std::string ip = http_->ip();
    if (ip == "0.0.0.0" || ip == "::") {
      return fmt::format("http://127.0.0.1:{}", port());
    }
    const bool v6 = ip.find(':') != std::string::npos;
    return v6 ? fmt::format("http://[{}]:{}", ip, port()) : fmt::format("http://{}:{}", ip, port());
  }

  void stop(std::chrono::milliseconds grace) override {
    if (http_) {
      http_->stop(grace);
    }
  }

 private:
  std::optional<HttpResponse> admit(const HttpRequest& request) override {
    switch (check_access(rules_, request)) {
      case Access::kForbidden: {
        HttpResponse forbidden;
        forbidden.status = 403;
        forbidden.content_type.clear();
        return forbidden;
      }
      case Access::kPreflight:
        return preflight_response(request);
      case Access::kKeyMissing: {
        HttpResponse refusal = error_response(
            request.path, 401, "this server wants its key: send the header \"Authorization: Bearer KEY\"");
        refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
        return refusal;
      }
      case Access::kAllowed:
        break;
    }
    const Router::Match match = router_.find(request.method, request.path);
    if (match.route != nullptr) {
      return std::nullopt;
    }
    if (match.allowed.empty()) {
      return error_response(request.path, 404, "404 page not found");
    }
    HttpResponse refusal = error_response(request.path, 405, "405 method not allowed");
    refusal.headers.emplace_back("Allow", match.allowed);
    return refusal;
  }

  void handle(const std::shared_ptr<Exchange>& exchange) override {
    const HttpRequest& request = exchange->request();
    router_.find(request.method, request.path).route->handle(context_, exchange);
  }

  HttpResponse error(const HttpRequest& request, int status, const std::string& sentence) const override {
    return error_response(request.path, status, sentence);
  }

  void decorate(const HttpRequest& request, HttpResponse& response) const override {
    add_cors_headers(rules_, request, response);
  }

  void answered(const HttpRequest& request, const HttpOutcome& outcome) override {
    const std::string route = router_.label(request);
    context_.metrics.answered(route, outcome.status, outcome.seconds);
    const auto level = is_routine(route, outcome) ? spdlog::level::debug : spdlog::level::info;
    logger().log(level, request_log_line(request, outcome));
  }

  AccessRules rules_;  // unchanged once it serves
  const Router router_;
  const ApiContext context_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, std::vector<Route> routes, ModelHost& host,
                                              Metrics& metrics) {
  auto server = std::make_unique<WholeServer>(options, std::move(routes), host, metrics);
  if (Status status = server->serve(options); !status) {
    return propagate(status.error());
  }
  return server;
}

}  // namespace hypura
