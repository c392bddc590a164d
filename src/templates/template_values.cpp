#include "templates/template_values.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr const char* kWhat = "chat_template_kwargs";

// What the conversation, the tools and the vocabulary decide. enable_thinking is a field of a request.
constexpr std::array<std::string_view, 8> kReserved = {
    "messages",  "tools",     "bos_token",       "eos_token",
    "unk_token", "pad_token", "enable_thinking", "add_generation_prompt"};

}  // namespace

Result<std::map<std::string, std::string>> template_values(const std::string& json, MaskedText* masked) {
  std::map<std::string, std::string> values;
  if (json.empty()) {
    return values;
  }
  if (Status status = check_json(json, kWhat); !status) {
    return propagate(status.error());
  }
  const auto object = nlohmann::ordered_json::parse(json, nullptr, false);
  if (!object.is_object()) {
    return fail(ErrorCode::kUsage, "{} must be a JSON object", kWhat);
  }
  for (const auto& [name, value] : object.items()) {
    if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) {
      return fail(ErrorCode::kUsage, "{} must not have \"{}\": the rest of the request decides it", kWhat, name);
    }
    const std::string text = value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    auto safe = masked == nullptr ? Result<std::string>(text) : masked->mask_json(text, kWhat);
    if (!safe) {
      return propagate(safe.error());
    }
    values[name] = std::move(*safe);
  }
  return values;
}

}  // namespace hypura
