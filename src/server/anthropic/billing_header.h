// The line that Claude Code puts into its system prompt for Anthropic's accounting.
#pragma once

#include <string>
#include <string_view>

namespace hypura::anthropic {

// `text` without its lines "x-anthropic-billing-header: cc_version=…; cch=…;". They differ from request to request, so
// that with them no prompt would begin like the one before. What else stands in such a line stays.
std::string without_billing_header(std::string_view text);

}  // namespace hypura::anthropic
