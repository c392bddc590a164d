// JSON as requests bring it and answers carry it. All functions may be called from any thread; nothing throws.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// Keeps the order of keys: of a schema's properties, for one, which is the order in which a model writes them.
using Json = nlohmann::ordered_json;

// What parse_json says of an empty body.
inline constexpr std::string_view kMissingBody = "missing request body";

// The deepest nesting taken: what visits a value afterwards does so by recursion, here and in libraries.
inline constexpr size_t kMaxJsonDepth = 512;

// Parses one value. Fails with kUsage: on nothing but white space (kMissingBody), on what is no JSON or no UTF-8, on
// nesting deeper than kMaxJsonDepth, and on objects of so many keys that finding them would take long. The escape of
// half a surrogate pair, which JavaScript writes for text cut within a character, is read as U+FFFD.
Result<Json> parse_json(std::string_view text);

// On one line, with U+FFFD for bytes that are not UTF-8.
std::string dump_json(const Json& json);

}  // namespace hypura
