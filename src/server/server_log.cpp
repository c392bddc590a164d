#include "server/server_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace hypura {

namespace {

constexpr size_t kLongestValue = 200;  // a client chooses paths and must not fill the disk

bool is_plain(char c) {
  return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

// What a terminal or a reader of lines could take for something else is written as \xNN.
std::string quoted_where_needed(std::string_view value) {
  if (!value.empty() && value.size() <= kLongestValue && std::all_of(value.begin(), value.end(), is_plain)) {
    return std::string(value);
  }
  std::string quoted = "\"";
  for (const char c : value.substr(0, kLongestValue)) {
    if (c == ' ' || c == '=' || is_plain(c)) {
      quoted += c;
    } else {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return quoted + (value.size() > kLongestValue ? "...\"" : "\"");
}

}  // namespace

std::string request_log_line(const HttpRequest& request, const HttpOutcome& outcome) {
  std::string line =
      fmt::format("msg=request method={} path={} status={} ms={:.1f} bytes={}", quoted_where_needed(request.method),
                  quoted_where_needed(request.path), outcome.status, outcome.seconds * 1000, outcome.sent_bytes);
  if (outcome.prompt_tokens > 0 || outcome.answer_tokens > 0) {
    line += fmt::format(" in={} out={}", outcome.prompt_tokens, outcome.answer_tokens);
  }
  if (outcome.cut_from > 0) {
    line += fmt::format(" cut={}->{}", outcome.cut_from, outcome.cut_to);
  }
  return line;
}

bool is_routine(std::string_view route, const HttpOutcome& outcome) {
  return outcome.status < 400 && (route == "GET /hypura/live" || route == "GET /metrics");
}

}  // namespace hypura
