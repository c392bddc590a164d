#include "server/router.h"

#include <fmt/format.h>

#include <utility>

#include "server/json/json.h"
#include "support/random_id.h"

namespace hypura {

namespace {

bool is_open_ended(std::string_view pattern) {
  return pattern.ends_with("/*");
}

bool matches(std::string_view pattern, std::string_view path) {
  if (!is_open_ended(pattern)) {
    return pattern == path;
  }
  const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
  return path.size() > prefix.size() && path.starts_with(prefix);
}

// Whether a route of pattern `a` is meant rather than one of `b`, when both match.
bool goes_before(std::string_view a, std::string_view b) {
  return is_open_ended(a) != is_open_ended(b) ? is_open_ended(b) : a.size() > b.size();
}

bool takes(const Route& route, std::string_view method) {
  return route.method == method || (method == "HEAD" && route.method == "GET" && route.head);
}

void add_method(std::string& methods, std::string_view method) {
  methods += methods.empty() ? "" : ", ";
  methods += method;
}

bool is_below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string anthropic_type(int status) {
  switch (status) {
    case 400:
      return "invalid_request_error";
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return "api_error";
  }
}

std::string openai_type(int status) {
  if (status == 400) {
    return "invalid_request_error";
  }
  return status == 404 ? "not_found_error" : "api_error";
}

}  // namespace

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  for (const Route& route : routes_) {
    if (matches(route.pattern, path) && takes(route, method) &&
        (match.route == nullptr || goes_before(route.pattern, match.route->pattern))) {
      match.route = &route;
    }
  }
  if (match.route == nullptr) {
    for (const Route& route : routes_) {
      if (matches(route.pattern, path)) {
        add_method(match.allowed, route.method);
        if (route.head) {
          add_method(match.allowed, "HEAD");
        }
      }
    }
  }
  return match;
}

std::string Router::label(const HttpRequest& request) const {
  const Match match = find(request.method, request.path);
  return match.route == nullptr ? "other" : request.method + " " + match.route->pattern;
}

HttpResponse error_response(std::string_view path, int status, const std::string& sentence) {
  HttpResponse response;
  response.status = status;
  Json body;
  if (is_below(path, "/v1/messages")) {
    body["type"] = "error";
    body["error"] = {{"type", anthropic_type(status)}, {"message", sentence}};
    body["request_id"] = random_id("req_");
  } else if (is_below(path, "/v1")) {
    body["error"] = {{"message", sentence}, {"type", openai_type(status)}, {"param", nullptr}, {"code", nullptr}};
  } else {
    body["error"] = sentence;
  }
  response.body = dump_json(body);
  return response;
}

}  // namespace hypura
