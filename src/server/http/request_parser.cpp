#include "server/http/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "server/server_text.h"

namespace hypura {

namespace beast = boost::beast;
namespace http = boost::beast::http;

struct RequestParser::Beast {
  http::request_parser<http::string_body> parser;
};

namespace {

std::string to_string(beast::string_view text) {
  return {text.data(), text.size()};
}

std::string too_long(const HttpLimits& limits) {
  return fmt::format("the request's body is longer than {} bytes", limits.body_bytes);
}

HttpFailure failure_of(const beast::error_code& error, const HttpLimits& limits) {
  if (error == http::error::header_limit) {
    return {431, fmt::format("the request's header is longer than {} bytes", limits.header_bytes)};
  }
  if (error == http::error::body_limit) {
    return {413, too_long(limits)};
  }
  if (error == http::error::bad_version) {
    return {505, "the request is not of HTTP/1.1 or HTTP/1.0"};
  }
  return {400, fmt::format("the request is not HTTP as it should be: {}", error.message())};
}

// Requests name a path, or, when they are meant for a proxy, a whole URL.
std::string without_authority(std::string target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equal_ignoring_case(std::string_view(target).substr(0, scheme.size()), scheme)) {
      const size_t slash = target.find_first_of("/?", scheme.size());
      const std::string rest = slash == std::string::npos ? std::string() : target.substr(slash);
      return rest.starts_with('/') ? rest : "/" + rest;
    }
  }
  return target;
}

}  // namespace

RequestParser::RequestParser(const HttpLimits& limits) : beast_(std::make_unique<Beast>()), limits_(&limits) {
  beast_->parser.header_limit(static_cast<uint32_t>(limits.header_bytes));
  // A length that is announced is looked at when the header is complete, so that the refusal knows the path.
  beast_->parser.body_limit(boost::none);
}

RequestParser::~RequestParser() = default;

bool RequestParser::begun() const {
  return beast_->parser.got_some();
}

void RequestParser::fail(int status, std::string sentence) {
  failure_ = {status, std::move(sentence)};
  state_ = State::kFailed;
}

size_t RequestParser::put(std::string_view bytes) {
  size_t used = 0;
  if (!begun()) {
    // Old clients end a body with an empty line that belongs to nothing.
    used = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  }
  if (used == bytes.size() || state_ == State::kDone || state_ == State::kFailed) {
    return used;
  }
  beast_->parser.eager(state_ == State::kBody);
  beast::error_code error;
  used += beast_->parser.put({bytes.data() + used, bytes.size() - used}, error);
  if (state_ == State::kHeader && beast_->parser.is_header_done()) {
    read_header();
  }
  if (error && error != http::error::need_more) {
    if (state_ == State::kHeader) {
      read_target();
    }
    failure_ = failure_of(error, *limits_);
    state_ = State::kFailed;
  } else if (state_ != State::kFailed && beast_->parser.is_done()) {
    request_.body = std::move(beast_->parser.get().body());
    state_ = State::kDone;
  } else if (state_ == State::kBody && bytes.size() - used > limits_->header_bytes) {
    fail(400, "a chunk of the request's body begins with a line without end");
  }
  return used;
}

// False when the path makes no sense; it is then kept as it came.
bool RequestParser::read_target() {
  const auto& message = beast_->parser.get();
  request_.method = to_string(message.method_string());
  request_.head_only = request_.method == "HEAD";
  const std::string target = without_authority(to_string(message.target()));
  const size_t question = std::min(target.find('?'), target.size());
  request_.query = question < target.size() ? target.substr(question + 1) : std::string();
  request_.path = target.substr(0, question);
  auto path = percent_decoded(request_.path);
  if (!path || (!path->starts_with('/') && *path != "*")) {
    return false;
  }
  request_.path = std::move(*path);
  return true;
}

void RequestParser::read_header() {
  for (const auto& field : beast_->parser.get()) {
    request_.headers.emplace_back(ascii_lower(to_string(field.name_string())), to_string(field.value()));
  }
  keep_alive_ = beast_->parser.keep_alive();
  http10_ = beast_->parser.get().version() == 10;
  expects_continue_ = !http10_ && equal_ignoring_case(request_.header("expect"), "100-continue");
  if (!read_target()) {
    fail(400, "the path of the request cannot be read");
  } else if (check_header()) {
    beast_->parser.body_limit(limits_->body_bytes);
    state_ = State::kBody;
  }
}

// What Beast lets through and we must not.
bool RequestParser::check_header() {
  const auto hosts = std::count_if(request_.headers.begin(), request_.headers.end(),
                                   [](const auto& header) { return header.first == "host"; });
  if (hosts > 1 || (hosts == 0 && !http10_)) {
    fail(400, hosts > 1 ? "the request has several Host headers" : "the request has no Host header");
    return false;
  }
  const std::string encoding = request_.header("transfer-encoding");
  if (!encoding.empty() && !equal_ignoring_case(encoding, "chunked")) {
    fail(501, "the request's body is sent in a way other than chunked");
    return false;
  }
  if (beast_->parser.content_length().value_or(0) > limits_->body_bytes) {
    fail(413, too_long(*limits_));
    return false;
  }
  return true;
}

}  // namespace hypura
