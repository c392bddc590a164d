// The values of "format" and "contentEncoding" that strings can be held to.
#pragma once

#include <string>
#include <string_view>

namespace hypura::schema {

// The regular expression for strings of `format`: all of them are of the format, though perhaps not every string of it
// matches, as with hostnames in other scripts. Null when the format is not known, or says nothing about the text.
const std::string* format_pattern(std::string_view format);

// Whether `format` is one that says nothing about a string's text, such as "password".
bool is_loose_format(std::string_view format);

}  // namespace hypura::schema
