#include "server/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/json/json.h"

namespace hypura {
namespace {

void first(const ApiContext&, const std::shared_ptr<Exchange>&) {}

Router router() {
  return Router({{"GET", "/", first, true},
                 {"POST", "/api/blobs/*", first},
                 {"GET", "/v1/models", first},
                 {"GET", "/v1/models/*", first},
                 {"DELETE", "/v1/models/*", first},
                 {"GET", "/v1/models/special", first}});
}

std::string pattern(const Router& router, std::string_view method, std::string_view path) {
  const Router::Match match = router.find(method, path);
  return match.route == nullptr ? "none, but " + match.allowed : match.route->pattern;
}

TEST(Router, FindsTheClosestPattern) {
  const Router routes = router();
  EXPECT_EQ(pattern(routes, "GET", "/"), "/");
  EXPECT_EQ(pattern(routes, "HEAD", "/"), "/");
  EXPECT_EQ(pattern(routes, "GET", "/v1/models"), "/v1/models");
  EXPECT_EQ(pattern(routes, "GET", "/v1/models/a/b:c"), "/v1/models/*");
  EXPECT_EQ(pattern(routes, "GET", "/v1/models/special"), "/v1/models/special");
  EXPECT_EQ(pattern(routes, "DELETE", "/v1/models/special"), "/v1/models/*");
}

TEST(Router, SaysWhatElseIsAllowed) {
  const Router routes = router();
  EXPECT_EQ(pattern(routes, "POST", "/"), "none, but GET, HEAD");
  EXPECT_EQ(pattern(routes, "HEAD", "/v1/models"), "none, but GET");
  EXPECT_EQ(pattern(routes, "POST", "/v1/models/x"), "none, but GET, DELETE");
  EXPECT_EQ(pattern(routes, "GET", "/nothing"), "none, but ");
  EXPECT_EQ(pattern(routes, "GET", "/v1/models/"), "none, but ");
  EXPECT_EQ(pattern(routes, "get", "/"), "none, but GET, HEAD");
}

TEST(Router, LabelsAreFew) {
  const Router routes = router();
  EXPECT_EQ(routes.label({"GET", "/v1/models/any", "", {}, "", false}), "GET /v1/models/*");
  EXPECT_EQ(routes.label({"HEAD", "/", "", {}, "", true}), "HEAD /");
  EXPECT_EQ(routes.label({"POST", "/", "", {}, "", false}), "other");
  EXPECT_EQ(routes.label({"GET", "/wp-login.php", "", {}, "", false}), "other");
}

TEST(ErrorResponse, HasTheFormOfItsApi) {
  const HttpResponse native = error_response("/api/chat", 404, "a \"name\"");
  EXPECT_EQ(native.status, 404);
  EXPECT_EQ(native.content_type, "application/json; charset=utf-8");
  EXPECT_EQ(native.body, R"({"error":"a \"name\""})");
  EXPECT_EQ(error_response("/v10", 404, "x").body, R"({"error":"x"})");

  EXPECT_EQ(error_response("/v1/models", 404, "x").body,
            R"({"error":{"message":"x","type":"not_found_error","param":null,"code":null}})");
  const auto openai = [](int status) {
    return parse_json(error_response("/v1/x", status, "x").body).value()["error"]["type"].get<std::string>();
  };
  EXPECT_EQ(openai(400), "invalid_request_error");
  EXPECT_EQ(openai(401), "api_error");
  EXPECT_EQ(openai(500), "api_error");

  const auto anthropic = [](int status) {
    return parse_json(error_response("/v1/messages", status, "x").body).value();
  };
  EXPECT_EQ(anthropic(400)["type"], "error");
  EXPECT_EQ(anthropic(400)["error"]["message"], "x");
  EXPECT_THAT(anthropic(400)["request_id"].get<std::string>(), testing::StartsWith("req_"));
  EXPECT_EQ(anthropic(400)["error"]["type"], "invalid_request_error");
  EXPECT_EQ(anthropic(405)["error"]["type"], "api_error");
  EXPECT_EQ(anthropic(401)["error"]["type"], "authentication_error");
  EXPECT_EQ(anthropic(503)["error"]["type"], "overloaded_error");
  EXPECT_EQ(anthropic(500)["error"]["type"], "api_error");
}

}  // namespace
}  // namespace hypura
