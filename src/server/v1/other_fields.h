// Fields that an API knows and this server has no use for.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "server/json/fields.h"

namespace hypura::v1 {

struct RefusedField {
  std::string_view name;
  std::string_view why;
};

// Refuses each of them that asks for something: what is false, an empty list or an empty object asks for nothing.
void refuse_fields(Fields& fields, std::initializer_list<RefusedField> refused);

// Fields that may be left aside without harm, but not in silence: the log says so once for each.
void note_without_effect(const Fields& fields, std::initializer_list<std::string_view> names);

// A tool of this type is not offered to the model: the log says so once.
void note_tool_left_out(const std::string& type);

// An item of a conversation that only the server that made it can read is passed over: the log says so once.
void note_item_left_out(const std::string& type);

}  // namespace hypura::v1
