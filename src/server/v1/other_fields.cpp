#include "server/v1/other_fields.h"

#include <fmt/format.h>

#include <mutex>
#include <set>
#include <string>

#include "server/v1/refusing.h"
#include "support/log.h"

namespace hypura::v1 {

namespace {

bool asks_for_something(const Json* value) {
  return value != nullptr && *value != false && !(value->is_structured() && value->empty());
}

// Whether it was not said before.
bool first_time(std::string_view name) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> said;
  const std::lock_guard lock(mutex);
  return said.emplace(name).second;
}

}  // namespace

void refuse_fields(Fields& fields, std::initializer_list<RefusedField> refused) {
  for (const RefusedField& field : refused) {
    if (asks_for_something(fields.find(field.name))) {
      refuse(fields, fmt::format("{} is not supported: {}", field.name, field.why));
    }
  }
}

void note_tool_left_out(const std::string& type) {
  if (first_time("tool " + type)) {
    logger().info("msg=ignored tool={:?} why=\"this server runs no tools itself\"", type);
  }
}

void note_item_left_out(const std::string& type) {
  if (first_time("item " + type)) {
    logger().info("msg=ignored item={:?} why=\"only the server that made it can read it\"", type);
  }
}

void note_without_effect(const Fields& fields, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (asks_for_something(fields.find(name)) && first_time(name)) {
      logger().info("msg=ignored field={} why=\"it has no effect on this server\"", name);
    }
  }
}

}  // namespace hypura::v1
