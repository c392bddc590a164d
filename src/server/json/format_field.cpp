#include "server/json/format_field.h"

#include "server/json/fields.h"
#include "support/fail.h"

namespace hypura {

Result<std::optional<std::string>> read_format(const Json* value) {
  if (value == nullptr || value->is_null() || is_empty_text(*value)) {
    return std::optional<std::string>();
  }
  if (*value == "json") {
    return std::optional<std::string>("{}");
  }
  if (value->is_object()) {
    return std::optional(dump_json(*value));
  }
  return fail(ErrorCode::kUsage, "invalid format: {}; expected \"json\" or a valid JSON Schema object",
              dump_json(*value));
}

}  // namespace hypura
