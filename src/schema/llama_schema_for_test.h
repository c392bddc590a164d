// llama.cpp's own rules for a schema, by any of the releases that are pinned.
#pragma once

#include <string>

#include "json-schema-to-grammar.h"

namespace hypura {

// Adds llama.cpp's rules for a schema, which v0.5.0 wants read first, and v0.4.0 with its references resolved.
template <class Builder, class Value>
std::string add_schema(const Builder& builder, const std::string& name, Value schema) {
  if constexpr (requires { builder.resolve_refs(schema); }) {
    builder.resolve_refs(schema);
    return builder.add_schema(name, schema);
  } else {
    const auto read = common_chat_schema_from_json(schema);
    return builder.add_schema(name, *read.root);
  }
}

}  // namespace hypura
