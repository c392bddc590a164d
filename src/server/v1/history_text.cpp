#include "server/v1/history_text.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "server/server_text.h"

namespace hypura::v1 {

namespace {

constexpr std::array<std::string_view, 10> kNoText{"id",     "type",  "signature", "cache_control", "caller",
                                                   "status", "index", "data",      "image_url",     "file_data"};

bool is_no_text(std::string_view key) {
  return std::find(kNoText.begin(), kNoText.end(), key) != kNoText.end() || key.ends_with("_id") ||
         key.starts_with("encrypted_");
}

void add_line(std::string& text, std::string_view line) {
  if (!line.empty()) {
    text.append(text.empty() ? "" : "\n").append(line);
  }
}

}  // namespace

std::string readable_text(const Json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  std::string text;
  if (value.is_array()) {
    for (const Json& item : value) {
      add_line(text, readable_text(item));
    }
  } else if (value.is_object()) {
    const std::string type = value.contains("type") && value["type"].is_string() ? value["type"] : Json("");
    if (type.ends_with("image") || type.ends_with("screenshot")) {
      return left_out_note("image");
    }
    for (const auto& [key, item] : value.items()) {
      add_line(text, is_no_text(key) ? "" : readable_text(item));
    }
  }
  return text;
}

std::string call_arguments(const std::string& text, const char* name) {
  if (text.empty()) {
    return "{}";
  }
  const Result<Json> json = parse_json(text);
  return dump_json(json && json->is_object() ? *json : Json{{name, text}});
}

}  // namespace hypura::v1
