#include "store/catalogue/small_json.h"

#include <fstream>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

Result<std::string> read_small_file(const std::filesystem::path& file, uint64_t most) {
  std::error_code error;
  // A pipe or a device of that name would keep the reader waiting.
  if (!std::filesystem::is_regular_file(file, error)) {
    return fail(ErrorCode::kIo, "{}: {}", file.string(), error ? error.message() : "is no file");
  }
  const uint64_t bytes = std::filesystem::file_size(file, error);
  if (error || bytes > most) {
    return fail(
        ErrorCode::kIo, "{}: {}", file.string(),
        error ? error.message() : fmt::format("has {}, the most is {}", format_bytes(bytes), format_bytes(most)));
  }
  std::string text(bytes, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in) {
    return fail(ErrorCode::kIo, "{}: cannot be read", file.string());
  }
  return text;
}

Result<nlohmann::json> read_small_json(const std::filesystem::path& file) {
  const Result<std::string> text = read_small_file(file);
  if (!text) {
    return propagate(text.error());
  }
  nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) {
    return fail(ErrorCode::kBadModel, "{}: is no JSON object", file.string());
  }
  return json;
}

std::string json_text(const nlohmann::json& object, std::string_view key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const nlohmann::json& json_array(const nlohmann::json& object, std::string_view key) {
  static const nlohmann::json kNone = nlohmann::json::array();
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : kNone;
}

std::string json_dump(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace hypura
