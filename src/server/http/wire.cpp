#include "server/http/wire.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <chrono>
#include <iterator>

namespace hypura {

namespace {

std::string reason(int status) {
  if (status == 499) {
    return "Client Closed Request";  // nginx's
  }
  const auto text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return {text.data(), text.size()};
}

void add_header(std::string& head, std::string_view name, std::string_view value) {
  std::string line = fmt::format("{}: {}", name, value);
  line.erase(std::remove_if(line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }),
             line.end());
  head += line + "\r\n";
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace

std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  add_header(head, "Date", fmt::format("{:%a, %d %b %Y %H:%M:%S GMT}", fmt::gmtime(now)));
  if (!response.content_type.empty()) {
    add_header(head, "Content-Type", response.content_type);
  }
  if (framing == BodyFraming::kChunked) {
    add_header(head, "Transfer-Encoding", "chunked");
  } else if (framing == BodyFraming::kLength && !has_no_body(response.status)) {
    add_header(head, "Content-Length", std::to_string(response.content_type.empty() ? 0 : response.body.size()));
  }
  // Pieces are for now: proxies and browsers must neither gather nor keep them.
  if (framing != BodyFraming::kLength) {
    const bool says_cache = std::any_of(response.headers.begin(), response.headers.end(),
                                        [](const auto& header) { return header.first == "Cache-Control"; });
    if (!says_cache) {
      add_header(head, "Cache-Control", "no-cache");
    }
    add_header(head, "X-Accel-Buffering", "no");
  }
  for (const auto& [name, value] : response.headers) {
    add_header(head, name, value);
  }
  add_header(head, "Connection", keep_alive ? "keep-alive" : "close");
  return head + "\r\n";
}

std::string chunk(std::string_view piece) {
  return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
}

}  // namespace hypura
