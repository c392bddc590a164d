#include "server/access.h"

#include <algorithm>
#include <array>

#include "server/access_host.h"
#include "server/server_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr std::array kLocalOrigins = {"http://localhost",  "https://localhost", "http://127.0.0.1",
                                      "https://127.0.0.1", "http://0.0.0.0",    "https://0.0.0.0"};
constexpr std::array kAppOrigins = {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"};

constexpr const char* kMethods = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS";
constexpr std::string_view kHeaders =
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,x-stainless-arch,x-stainless-async,"
    "x-stainless-custom-poll-interval,x-stainless-helper-method,x-stainless-lang,x-stainless-os,"
    "x-stainless-package-version,x-stainless-poll-helper,x-stainless-retry-count,x-stainless-runtime,"
    "x-stainless-runtime-version,x-stainless-timeout,x-stainless-helper,x-api-key,anthropic-version,anthropic-beta,"
    "anthropic-dangerous-direct-browser-access,openai-organization,openai-project,idempotency-key,x-client-request-id";
constexpr size_t kMostHeaderText = 4096;  // of those that a preflight asks for
constexpr const char* kMaxAge = "43200";

// "" or ":3000": what may follow a host in an origin.
bool is_port_or_nothing(std::string_view text) {
  if (text.empty()) {
    return true;
  }
  return text.front() == ':' && text.size() > 1 && text.size() <= 6 &&
         text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// Each '*' of `pattern` stands for any text.
bool matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    return pattern == text;
  }
  if (text.substr(0, star) != pattern.substr(0, star)) {
    return false;
  }
  text.remove_prefix(star);
  pattern.remove_prefix(star + 1);
  for (size_t next = pattern.find('*'); next != std::string_view::npos; next = pattern.find('*')) {
    const size_t found = text.find(pattern.substr(0, next));
    if (found == std::string_view::npos) {
      return false;
    }
    text.remove_prefix(found + next);
    pattern.remove_prefix(next + 1);
  }
  return text.ends_with(pattern);
}

bool rule_allows(std::string_view rule, std::string_view origin) {
  constexpr std::string_view kAnyPort = ":*";
  if (rule == "*") {
    return true;
  }
  if (!rule.ends_with(kAnyPort)) {
    return matches(rule, origin);
  }
  // Any text behind the host would let http://localhost:3000.evil.example pass.
  const size_t colon = origin.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && colon > origin.find("://") && is_port_or_nothing(origin.substr(colon));
  return has_port && matches(rule.substr(0, rule.size() - kAnyPort.size()), origin.substr(0, colon));
}

bool is_of_this_server(const HttpRequest& request, const std::string& origin) {
  const std::string host = request.header("host");
  return origin == "http://" + host || origin == "https://" + host;
}

// Takes as long for a key that is wrong in its first character as for one that is wrong in its last.
bool equal_in_constant_time(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < key.size(); ++i) {
    const char other = given.empty() ? '\0' : given[i % given.size()];
    difference |= static_cast<unsigned char>(key[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
}

bool lists(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (equal_ignoring_case(list.substr(0, comma), name)) {
      return true;
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// The headers that clients are known to send, and those that this one is about to: what matters is where it is from.
std::string allowed_headers(std::string_view asked_for) {
  std::string all(kHeaders);
  asked_for = asked_for.substr(0, kMostHeaderText);
  while (!asked_for.empty()) {
    const size_t comma = std::min(asked_for.find(','), asked_for.size());
    const std::string_view name = trimmed(asked_for.substr(0, comma));
    if (is_header_name(name) && !lists(all, name)) {
      all.append(",").append(name);
    }
    asked_for.remove_prefix(std::min(comma + 1, asked_for.size()));
  }
  return all;
}

// The page and the words "it runs" are for anyone; a preflight cannot show a key.
bool needs_no_key(const HttpRequest& request) {
  return request.method == "OPTIONS" || (request.path == "/" && (request.method == "GET" || request.head_only));
}

}  // namespace

Status check_origin_rule(const std::string& rule) {
  const size_t scheme = rule.find("://");
  const bool possible = rule == "*" || (scheme != std::string::npos && scheme > 0 && scheme + 3 < rule.size() &&
                                        rule.find_first_of(" \t,") == std::string::npos);
  return possible ? Status{}
                  : fail(ErrorCode::kUsage,
                         "'{}' is not the origin of a web page; write it like https://app.example, "
                         "http://localhost:*, or * for every page",
                         rule);
}

bool origin_allowed(const AccessRules& rules, std::string_view origin) {
  const std::string lower = ascii_lower(origin);
  const std::string_view text = lower;
  const auto local = [text](std::string_view allowed) {
    return text.starts_with(allowed) && is_port_or_nothing(text.substr(allowed.size()));
  };
  const auto app = [text](std::string_view allowed) { return text.starts_with(allowed); };
  const auto ruled = [text](const std::string& rule) { return rule_allows(ascii_lower(rule), text); };
  return std::any_of(kLocalOrigins.begin(), kLocalOrigins.end(), local) ||
         std::any_of(kAppOrigins.begin(), kAppOrigins.end(), app) ||
         std::any_of(rules.origins.begin(), rules.origins.end(), ruled);
}

bool key_accepted(const AccessRules& rules, const HttpRequest& request) {
  if (rules.api_key.empty() || needs_no_key(request)) {
    return true;
  }
  constexpr std::string_view kBearer = "bearer ";
  const std::string authorization = request.header("authorization");
  std::string_view bearer = authorization;
  const bool is_bearer = equal_ignoring_case(bearer.substr(0, kBearer.size()), kBearer);
  bearer = is_bearer ? trimmed(bearer.substr(kBearer.size())) : std::string_view();
  return equal_in_constant_time(bearer, rules.api_key) ||
         equal_in_constant_time(request.header("x-api-key"), rules.api_key);
}

Access check_access(const AccessRules& rules, const HttpRequest& request) {
  // A page that a rebinding name serves has the same Origin as Host, so this comes first.
  if (rules.check_host && !host_allowed(rules, request.header("host"))) {
    return Access::kForbidden;
  }
  const std::string origin = request.header("origin");
  if (!origin.empty() && !is_of_this_server(request, origin)) {
    if (!origin_allowed(rules, origin)) {
      return Access::kForbidden;
    }
    if (request.method == "OPTIONS") {
      return Access::kPreflight;
    }
  }
  return key_accepted(rules, request) ? Access::kAllowed : Access::kKeyMissing;
}

void add_cors_headers(const AccessRules& rules, const HttpRequest& request, HttpResponse& response) {
  const std::string origin = request.header("origin");
  if (!origin.empty() && !is_of_this_server(request, origin) && origin_allowed(rules, origin)) {
    response.headers.emplace_back("Access-Control-Allow-Origin", origin);
    response.headers.emplace_back("Vary", "Origin");
  }
}

HttpResponse preflight_response(const HttpRequest& request) {
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers = {
      {"Access-Control-Allow-Methods", kMethods},
      {"Access-Control-Allow-Headers", allowed_headers(request.header("access-control-request-headers"))},
      {"Access-Control-Max-Age", kMaxAge}};
  return response;
}

}  // namespace hypura
