#include "server/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "server/access_host.h"

namespace hypura {
namespace {

AccessRules rules() {
  AccessRules rules;
  rules.machine = "Workstation";
  rules.addresses = {"203.0.113.5", "2001:db8::5"};
  return rules;
}

struct Case {
  const char* text;
  bool allowed;
};

// The test's name in a report.
std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << '"' << one.text << '"';
}

class HostOf : public testing::TestWithParam<Case> {};

TEST_P(HostOf, IsThisMachineOrNot) {
  EXPECT_EQ(host_allowed(rules(), GetParam().text), GetParam().allowed);
}

INSTANTIATE_TEST_SUITE_P(Names, HostOf,
                         testing::Values(Case{"", true}, Case{"localhost", true}, Case{"LocalHost:8080", true},
                                         Case{"app.localhost", true}, Case{"nas.local:11434", true},
                                         Case{"host.docker.internal:8080", true}, Case{"workstation", true},
                                         Case{"WORKSTATION:80", true}, Case{"evil.example", false},
                                         Case{"localhost.evil.example", false}, Case{"127.0.0.1.evil.example", false},
                                         Case{"workstation.evil.example", false}, Case{"evillocalhost", false},
                                         Case{"localhost:80.evil.example", false}, Case{"internal", false},
                                         Case{"localhost@evil.example", false}, Case{"localhost:", true}));

INSTANTIATE_TEST_SUITE_P(
    Addresses, HostOf,
    testing::Values(Case{"127.0.0.1", true}, Case{"127.8.9.10:1", true}, Case{"10.1.2.3:8080", true},
                    Case{"172.16.0.1", true}, Case{"172.32.0.1", false}, Case{"192.168.1.20", true},
                    Case{"0.0.0.0:8080", true}, Case{"8.8.8.8", false}, Case{"203.0.113.5:8080", true},
                    Case{"203.0.113.6", false}, Case{"[::1]", true}, Case{"[::1]:8080", true}, Case{"::1", true},
                    Case{"[::]:8080", true}, Case{"[fd12::1]:8080", true}, Case{"[2001:db8::5]:8080", true},
                    Case{"[2001:DB8:0::5]", true}, Case{"[2001:db8::6]", false}, Case{"[::ffff:127.0.0.1]", true},
                    Case{"[::ffff:8.8.8.8]", false}, Case{"[::2]", false}, Case{"[::1]evil.example", false},
                    Case{"[::1", false}, Case{"2130706433", false}, Case{"127.1", false}, Case{"0x7f.0.0.1", false}));

TEST(AccessHost, IsNotLookedAtBeyondLoopback) {
  AccessRules open = rules();
  open.check_host = false;
  HttpRequest request{"GET", "/api/tags", "", {{"host", "models.example"}}, "", false};
  EXPECT_EQ(check_access(open, request), Access::kAllowed);
  EXPECT_EQ(check_access(rules(), request), Access::kForbidden);
}

TEST(AccessHost, KnowsThisMachine) {
  const AccessRules local = local_access_rules();
  EXPECT_FALSE(local.machine.empty());
  EXPECT_TRUE(host_allowed(local, local.machine + ":8080"));
  EXPECT_TRUE(local.check_host);
}

class OriginOf : public testing::TestWithParam<Case> {};

TEST_P(OriginOf, MayAskOrNot) {
  AccessRules some = rules();
  some.origins = {"https://app.example", "https://*.trusted.example", "http://dev.example:*", "chrome-extension://*"};
  EXPECT_EQ(origin_allowed(some, GetParam().text), GetParam().allowed);
}

INSTANTIATE_TEST_SUITE_P(
    Always, OriginOf,
    testing::Values(Case{"http://localhost", true}, Case{"https://localhost:3000", true},
                    Case{"http://127.0.0.1:1", true}, Case{"https://0.0.0.0", true}, Case{"app://obsidian.md", true},
                    Case{"file://", true}, Case{"tauri://localhost", true}, Case{"vscode-webview://abc", true},
                    Case{"vscode-file://x", true}, Case{"null", false}, Case{"http://[::1]:3000", false},
                    Case{"https://evil.example", false}, Case{"http://localhost:3000.evil.example", false},
                    Case{"http://localhost.evil.example", false}, Case{"http://127.0.0.1.evil.example", false},
                    Case{"http://localhost:", false}, Case{"http://localhost:123456", false},
                    Case{"ftp://localhost", false}, Case{"localhost", false}, Case{"moz-extension://abc", false}));

INSTANTIATE_TEST_SUITE_P(
    Ruled, OriginOf,
    testing::Values(Case{"https://app.example", true}, Case{"https://APP.example", true},
                    Case{"http://app.example", false}, Case{"https://app.example.evil.example", false},
                    Case{"https://a.b.trusted.example", true}, Case{"https://trusted.example", false},
                    Case{"https://x.trusted.example.evil", false}, Case{"http://dev.example:8000", true},
                    Case{"http://dev.example", false}, Case{"http://dev.example:80.evil.example", false},
                    Case{"chrome-extension://abcdef", true}));

TEST(AccessOrigin, AStarIsEveryPage) {
  AccessRules all = rules();
  all.origins = {"*"};
  EXPECT_TRUE(origin_allowed(all, "https://any.example"));
  EXPECT_TRUE(origin_allowed(all, "null"));
}

TEST(AccessOrigin, RulesAreChecked) {
  for (const char* rule : {"*", "https://a.example", "http://a.example:*", "chrome-extension://*"}) {
    EXPECT_TRUE(check_origin_rule(rule)) << rule;
  }
  for (const char* rule : {"", "a.example", "://a", "https://", "https://a, https://b"}) {
    EXPECT_FALSE(check_origin_rule(rule)) << rule;
  }
}

HttpRequest request(std::string method, std::string path, std::string origin) {
  HttpRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.headers = {{"host", "localhost:8080"}};
  if (!origin.empty()) {
    request.headers.emplace_back("origin", std::move(origin));
  }
  return request;
}

TEST(Access, LooksAtOriginOnEveryMethod) {
  for (const char* method : {"GET", "POST", "DELETE", "OPTIONS"}) {
    EXPECT_EQ(check_access(rules(), request(method, "/v1/models", "https://evil.example")), Access::kForbidden);
    EXPECT_EQ(check_access(rules(), request(method, "/api/chat", "null")), Access::kForbidden);
    EXPECT_EQ(check_access(rules(), request(method, "/api/chat", "")), Access::kAllowed);
    EXPECT_EQ(check_access(rules(), request(method, "/api/chat", "http://localhost:8080")), Access::kAllowed);
  }
  EXPECT_EQ(check_access(rules(), request("POST", "/api/chat", "http://localhost:3000")), Access::kAllowed);
  EXPECT_EQ(check_access(rules(), request("OPTIONS", "/any", "http://localhost:3000")), Access::kPreflight);
}

TEST(Access, ARebindingPageIsSeenByItsHost) {
  HttpRequest rebound = request("POST", "/v1/chat/completions", "http://evil.example:8080");
  rebound.headers[0].second = "evil.example:8080";
  EXPECT_EQ(check_access(rules(), rebound), Access::kForbidden);
}

TEST(Access, CorsHeadersAreForAllowedPagesOnly) {
  HttpResponse response;
  add_cors_headers(rules(), request("GET", "/", ""), response);
  add_cors_headers(rules(), request("GET", "/", "https://evil.example"), response);
  add_cors_headers(rules(), request("GET", "/", "http://localhost:8080"), response);
  EXPECT_TRUE(response.headers.empty());
  add_cors_headers(rules(), request("GET", "/", "http://localhost:3000"), response);
  EXPECT_THAT(response.headers,
              testing::ElementsAre(testing::Pair("Access-Control-Allow-Origin", "http://localhost:3000"),
                                   testing::Pair("Vary", "Origin")));
}

TEST(AccessKey, IsWantedOfEveryRouteButThePage) {
  AccessRules locked = rules();
  locked.api_key = "secret";
  EXPECT_EQ(check_access(locked, request("GET", "/", "")), Access::kAllowed);
  EXPECT_EQ(check_access(locked, request("OPTIONS", "/api/chat", "http://localhost:3000")), Access::kPreflight);
  EXPECT_EQ(check_access(locked, request("POST", "/", "")), Access::kKeyMissing);
  for (const char* path : {"/api/tags", "/v1/models", "/metrics", "//"}) {
    EXPECT_EQ(check_access(locked, request("GET", path, "")), Access::kKeyMissing) << path;
  }
}

TEST(AccessKey, IsTakenFromEitherHeader) {
  AccessRules locked = rules();
  locked.api_key = "secret";
  const auto accepted = [&](const char* name, const char* value) {
    HttpRequest one = request("GET", "/api/tags", "");
    one.headers.emplace_back(name, value);
    return key_accepted(locked, one);
  };
  EXPECT_TRUE(accepted("authorization", "Bearer secret"));
  EXPECT_TRUE(accepted("authorization", "bearer  secret "));
  EXPECT_TRUE(accepted("x-api-key", "secret"));
  EXPECT_FALSE(accepted("authorization", "secret"));
  EXPECT_FALSE(accepted("authorization", "Basic secret"));
  EXPECT_FALSE(accepted("authorization", "Bearer secretsecret"));
  EXPECT_FALSE(accepted("authorization", "Bearer Secret"));
  EXPECT_FALSE(accepted("authorization", "Bearer "));
  EXPECT_FALSE(accepted("x-api-key", "secre"));
}

TEST(Access, APreflightSaysWhatPagesMaySend) {
  const HttpResponse response = preflight_response(HttpRequest());
  EXPECT_EQ(response.status, 204);
  EXPECT_TRUE(response.body.empty());
  EXPECT_THAT(response.headers, testing::Contains(testing::Pair("Access-Control-Allow-Methods",
                                                                "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS")));
  EXPECT_THAT(response.headers, testing::Contains(testing::Pair("Access-Control-Allow-Headers",
                                                                testing::HasSubstr("x-stainless-retry-count"))));
}

TEST(Access, APreflightAllowsWhatSdksSend) {
  const auto allowed = [](const std::string& asked_for) {
    HttpRequest request;
    request.headers.emplace_back("access-control-request-headers", asked_for);
    for (const auto& [name, value] : preflight_response(request).headers) {
      if (name == "Access-Control-Allow-Headers") {
        return value;
      }
    }
    return std::string();
  };
  for (const char* name : {"anthropic-dangerous-direct-browser-access", "anthropic-version", "anthropic-beta",
                           "x-api-key", "openai-organization", "openai-project", "x-stainless-helper"}) {
    EXPECT_THAT(allowed(""), testing::HasSubstr(name));
  }
  EXPECT_THAT(allowed("x-stainless-new-one, anthropic-workspace-id"),
              testing::EndsWith(",x-stainless-new-one,anthropic-workspace-id"));
  EXPECT_EQ(allowed("X-API-Key,content-type"), allowed("")) << "each once";
  EXPECT_EQ(allowed("x y,a\r\nb,,*,\"q\""), allowed("")) << "no names of headers";
  EXPECT_LT(allowed(std::string(100000, 'a') + "," + std::string(100000, 'b')).size(), 8192U);
}

}  // namespace
}  // namespace hypura
