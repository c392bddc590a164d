#include "server/anthropic/billing_header.h"

#include <algorithm>

#include "server/server_text.h"

namespace hypura::anthropic {

namespace {

constexpr std::string_view kHeader = "x-anthropic-billing-header:";

std::string_view without_leading_space(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r"), text.size()));
}

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// What follows the fields `name=value;` that the text begins with.
std::string_view after_fields(std::string_view text) {
  while (true) {
    text = without_leading_space(text);
    const auto name = std::find_if_not(text.begin(), text.end(), is_name);
    const auto length = static_cast<size_t>(name - text.begin());
    if (length == 0 || length == text.size() || text[length] != '=') {
      return text;
    }
    const size_t end = std::min(text.find_first_of("; \t\r", length), text.size());
    text.remove_prefix(std::min(end + (end < text.size() && text[end] == ';' ? 1 : 0), text.size()));
  }
}

}  // namespace

std::string without_billing_header(std::string_view text) {
  std::string rest;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::string_view all = text.substr(0, std::min(end + 1, text.size()));
    const std::string_view begun = without_leading_space(line);
    if (!equal_ignoring_case(begun.substr(0, kHeader.size()), kHeader)) {
      rest += all;
    } else {
      const std::string_view value = without_leading_space(begun.substr(kHeader.size()));
      const std::string_view left = after_fields(value);
      // A line without any field is a header of some other form: all of it is.
      if (!left.empty() && left.size() < value.size()) {
        rest.append(left).append(all.substr(end));
      }
    }
    text.remove_prefix(all.size());
  }
  return rest;
}

}  // namespace hypura::anthropic
