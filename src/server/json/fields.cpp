#include "server/json/fields.h"

#include <limits>
#include <utility>

#include "support/fail.h"

namespace hypura {

namespace {

// A number that is no integer of 64 bits is named with its text, as its kind alone would not tell what is wrong.
std::string named(const Json& value, std::string_view type) {
  const bool integer = type == "int" || type == "int64";
  return value.is_number() && integer ? fmt::format("number {}", dump_json(value)) : std::string(json_kind(value));
}

std::optional<int64_t> as_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return std::nullopt;
    }
    return static_cast<int64_t>(number);
  }
  return value.is_number_integer() ? std::optional(value.get<int64_t>()) : std::nullopt;
}

}  // namespace

bool is_empty_text(const Json& json) {
  return json.is_string() && json.get_ref<const std::string&>().empty();
}

std::string_view json_kind(const Json& json) {
  if (json.is_number()) {
    return "number";
  }
  return json.is_boolean() ? "bool" : json.type_name();
}

Fields::Fields(const Json& json, std::string owner) : owner_(std::move(owner)) {
  if (json.is_object()) {
    json_ = &json;
  } else {
    refuse({ErrorCode::kUsage, fmt::format("json: cannot unmarshal {} into Go value of type {}: it must be an object",
                                           json_kind(json), owner_)});
  }
}

void Fields::refuse(const Error& error) {
  if (status_) {
    status_ = propagate(error);
  }
}

void Fields::wrong(std::string_view key, const Json& value, std::string_view type) {
  refuse({ErrorCode::kUsage, fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                                         named(value, type), owner_, key, type)});
}

const Json* Fields::find(std::string_view key) const {
  if (json_ == nullptr || !status_) {
    return nullptr;
  }
  const auto found = json_->find(std::string(key));
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Fields::text(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_string()) {
    wrong(key, *value, "string");
    return std::nullopt;
  }
  return value->get<std::string>();
}

std::optional<bool> Fields::boolean(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_boolean()) {
    wrong(key, *value, "bool");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<int64_t> Fields::integer(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::optional<int64_t> number = as_integer(*value);
  if (!number) {
    wrong(key, *value, "int");
  }
  return number;
}

std::optional<double> Fields::number(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_number()) {
    wrong(key, *value, "float64");
    return std::nullopt;
  }
  return value->get<double>();
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view key) {
  const Json* values = array(key);
  if (values == nullptr) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const Json& value : *values) {
    if (!value.is_string()) {
      wrong(key, value, "string");
      return std::nullopt;
    }
    texts.push_back(value.get<std::string>());
  }
  return texts;
}

std::optional<std::vector<int32_t>> Fields::tokens(std::string_view key) {
  const Json* values = array(key);
  if (values == nullptr) {
    return std::nullopt;
  }
  std::vector<int32_t> tokens;
  for (const Json& value : *values) {
    const std::optional<int64_t> number = as_integer(value);
    if (!number || *number < 0 || *number > std::numeric_limits<int32_t>::max()) {
      wrong(key, value, "int");
      return std::nullopt;
    }
    tokens.push_back(static_cast<int32_t>(*number));
  }
  return tokens;
}

const Json* Fields::array(std::string_view key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) {
    wrong(key, *value, "array");
    return nullptr;
  }
  return value;
}

const Json* Fields::object(std::string_view key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    wrong(key, *value, "object");
    return nullptr;
  }
  return value;
}

}  // namespace hypura
