// Reading a request's fields by type. A field that is null counts as absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "server/json/json.h"

namespace hypura {

// The fields of one object. The first field of a wrong type sets status(), and from then on all fields read as absent,
// so that a whole request can be read before status() is asked once. Belongs to one thread; must not outlive the JSON.
class Fields {
 public:
  // `owner` begins the name of each field in errors: "ChatRequest", or "ChatRequest.messages" for what is in there.
  // A value that is not an object sets status().
  Fields(const Json& json, std::string owner);

  // kUsage: "json: cannot unmarshal number into Go struct field ChatRequest.model of type string".
  const Status& status() const { return status_; }

  // Sets status(), if it is not set yet.
  void refuse(const Error& error);

  // The field, whatever its type; null when it is absent.
  const Json* find(std::string_view key) const;

  std::optional<std::string> text(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<int64_t> integer(std::string_view key);
  std::optional<double> number(std::string_view key);
  std::optional<std::vector<std::string>> texts(std::string_view key);
  std::optional<std::vector<int32_t>> tokens(std::string_view key);
  const Json* array(std::string_view key);   // null when it is absent
  const Json* object(std::string_view key);  // null when it is absent

 private:
  // Sets status() for a field that is no `type`.
  void wrong(std::string_view key, const Json& value, std::string_view type);

  const Json* json_ = nullptr;  // null when it is no object
  std::string owner_;
  Status status_;
};

bool is_empty_text(const Json& json);

// "number", "string", "bool", "array", "object" or "null".
std::string_view json_kind(const Json& json);

}  // namespace hypura
