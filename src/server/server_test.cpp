// The parts together: access, routes, counting, over a real socket.
#include "server/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <sstream>
#include <thread>
#include <utility>

#include "server/fake_host_for_test.h"
#include "server/http/raw_client_for_test.h"
#include "server/metrics.h"
#include "server/server_log.h"
#include "support/log.h"

namespace hypura {
namespace {

using testing::HasSubstr;

void say_hello(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  HttpResponse response;
  response.body = R"({"models":)" + std::to_string(context.host.models().size()) + "}";
  exchange->respond(std::move(response));
}

class ServerTest : public testing::Test {
 protected:
  void serve() {
    options.address.port = 0;
    const std::vector<Route> routes = {{"GET", "/", say_hello, true},
                                       {"GET", "/api/tags", say_hello, true},
                                       {"GET", "/metrics", say_hello},
                                       {"POST", "/v1/messages", say_hello},
                                       {"POST", "/v1/chat/completions", say_hello}};
    auto started = Server::start(options, routes, host, metrics);
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }

  RawResponse ask(const std::string& line, const std::string& headers = "", const std::string& body = "") {
    RawClient client(server->port());
    client.ask(line, headers, body);
    return client.read_response(!line.starts_with("HEAD"));
  }

  ServerOptions options;
  FakeHost host;
  Metrics metrics;
  std::unique_ptr<Server> server;
};

TEST_F(ServerTest, AnswersItsRoutes) {
  serve();
  EXPECT_EQ(server->url(), "http://127.0.0.1:" + std::to_string(server->port()));
  EXPECT_TRUE(server->is_loopback());
  const RawResponse response = ask("GET /api/tags?x=1");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"models":1})");
  EXPECT_EQ(ask("HEAD /api/tags").status, 200);
  EXPECT_EQ(ask("POST /v1/messages", "", "{}").status, 200);
}

TEST_F(ServerTest, SaysWhatItHasNot) {
  serve();
  const RawResponse missing = ask("GET /api/nothing");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr(R"({"error":"404)"));
  const RawResponse wrong = ask("POST /api/tags");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_TRUE(wrong.has("Allow: GET, HEAD\r\n"));
  EXPECT_EQ(ask("HEAD /v1/messages").status, 405);
  EXPECT_THAT(ask("GET /v1/messages").body, HasSubstr(R"("request_id":"req_)"));
}

TEST_F(ServerTest, ForeignPagesGetNothing) {
  serve();
  for (const char* line : {"GET /api/tags", "POST /v1/chat/completions", "OPTIONS /api/tags", "GET /nothing"}) {
    const RawResponse response = ask(line, "Origin: https://evil.example\r\n");
    EXPECT_EQ(response.status, 403) << line;
    EXPECT_EQ(response.body, "") << line;
  }
  RawClient rebound(server->port());
  rebound.send("POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(rebound.read_response().status, 403);
}

TEST_F(ServerTest, AllowedPagesGetHeadersWithErrorsToo) {
  options.access.origins = {"https://app.example"};
  serve();
  for (const char* line : {"GET /api/tags", "GET /nothing", "POST /api/tags"}) {
    const RawResponse response = ask(line, "Origin: https://app.example\r\n");
    EXPECT_TRUE(response.has("Access-Control-Allow-Origin: https://app.example\r\n")) << line;
    EXPECT_TRUE(response.has("Vary: Origin\r\n")) << line;
  }
  const RawResponse preflight = ask("OPTIONS /anything", "Origin: https://app.example\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_TRUE(preflight.has("Access-Control-Allow-Origin: https://app.example\r\n"));
  EXPECT_TRUE(preflight.has("Access-Control-Max-Age: 43200\r\n"));
  EXPECT_FALSE(preflight.has("Content-Length"));
  EXPECT_EQ(ask("OPTIONS /api/tags").status, 405);
}

TEST_F(ServerTest, AKeyIsAskedForInTheFormOfTheApi) {
  options.access.api_key = "secret";
  serve();
  EXPECT_EQ(ask("GET /").status, 200);
  const RawResponse native = ask("GET /api/tags");
  EXPECT_EQ(native.status, 401);
  EXPECT_TRUE(native.has("WWW-Authenticate: Bearer\r\n"));
  EXPECT_THAT(native.body, HasSubstr(R"({"error":")"));
  EXPECT_THAT(ask("POST /v1/messages", "", "{}").body, HasSubstr("authentication_error"));
  EXPECT_THAT(ask("POST /v1/chat/completions", "", "{}").body, HasSubstr(R"("param":null)"));
  EXPECT_EQ(ask("GET /api/tags", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(ask("POST /v1/messages", "x-api-key: secret\r\n", "{}").status, 200);
}

TEST_F(ServerTest, CountsRequestsByRoute) {
  serve();
  ask("GET /api/tags");
  ask("GET /api/tags");
  ask("GET /nothing/else");
  server->stop(std::chrono::milliseconds(0));
  const auto requests = metrics.numbers().requests;
  EXPECT_EQ(requests.at({"GET /api/tags", 200}), 2U);
  EXPECT_EQ(requests.at({"other", 404}), 1U);
}

TEST_F(ServerTest, LogsWhatIsAskedForAgainAndAgainForDebuggingOnly) {
  std::ostringstream text;
  const auto sinks = std::exchange(logger().sinks(), {std::make_shared<spdlog::sinks::ostream_sink_mt>(text)});
  logger().set_level(spdlog::level::info);
  serve();
  ask("GET /metrics");
  ask("GET /api/tags");
  server->stop(std::chrono::milliseconds(0));
  logger().sinks() = sinks;
  logger().set_level(spdlog::level::warn);
  EXPECT_THAT(text.str(), HasSubstr("path=/api/tags"));
  EXPECT_THAT(text.str(), testing::Not(HasSubstr("path=/metrics")));
}

TEST(ServerLog, RoutineIsWhatIsPolledAndGoesWell) {
  HttpOutcome outcome;
  outcome.status = 200;
  EXPECT_TRUE(is_routine("GET /hypura/live", outcome));
  EXPECT_TRUE(is_routine("GET /metrics", outcome));
  EXPECT_FALSE(is_routine("GET /", outcome));
  EXPECT_FALSE(is_routine("POST /api/chat", outcome));
  EXPECT_FALSE(is_routine("other", outcome));
  outcome.status = 401;
  EXPECT_FALSE(is_routine("GET /metrics", outcome));
}

TEST(ServerLog, HasOneLineOfKeysAndValues) {
  HttpOutcome outcome;
  outcome.status = 200;
  outcome.seconds = 1.2345;
  outcome.sent_bytes = 812;
  const HttpRequest request{"POST", "/api/chat", "", {}, "", false};
  EXPECT_EQ(request_log_line(request, outcome),
            "msg=request method=POST path=/api/chat status=200 ms=1234.5 bytes=812");
  outcome.prompt_tokens = 20;
  outcome.answer_tokens = 5;
  EXPECT_THAT(request_log_line(request, outcome), testing::EndsWith("bytes=812 in=20 out=5"));
  outcome.cut_from = 9000;
  outcome.cut_to = 20;
  EXPECT_THAT(request_log_line(request, outcome), testing::EndsWith("bytes=812 in=20 out=5 cut=9000->20"));
}

TEST(ServerLog, AClientCannotWriteLinesOfItsOwn) {
  const HttpRequest request{"GET", "/a\nstatus=200 \"\x1b[31m", "", {}, "", false};
  EXPECT_THAT(request_log_line(request, {}), HasSubstr("path=\"/a\\x0astatus=200 \\x22\\x1b[31m\" status=0"));
  const HttpRequest longer{"", "/" + std::string(1000, 'a'), "", {}, "", false};
  EXPECT_LT(request_log_line(longer, {}).size(), 300U);
  EXPECT_THAT(request_log_line(longer, {}), HasSubstr("method=\"\" path=\"/aaa"));
}

}  // namespace
}  // namespace hypura
