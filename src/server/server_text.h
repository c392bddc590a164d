// Small words about text that HTTP, access and names share. ASCII only, whatever the locale.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "support/ascii.h"

namespace hypura {

// Without spaces and tabs at both ends.
std::string_view trimmed(std::string_view text);

// "%41b" is "Ab". Nothing when a "%" has no two hexadecimal digits behind it or a control character comes out.
std::optional<std::string> percent_decoded(std::string_view text);

// What stands in a prompt for a part of a tool's result that no model here can read: an "image", a "document".
std::string left_out_note(std::string_view what);

}  // namespace hypura
