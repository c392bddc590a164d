// Addresses of the web, taken apart and put together. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// "https://example.org:443": scheme, host in lower case, and port; empty: no address of http or https. Two addresses of
// one origin are served by the same program.
std::string origin_of(const std::string& text);

// Where a redirect from `base` to `location` (an address, or a part of one) leads. Fails with kIo when that is no
// address of http or https, and when it would leave https for http.
Result<std::string> redirected(const std::string& base, const std::string& location);

// Percent-encoded for the path of an address; slashes stay.
std::string escaped_path(std::string_view path);

}  // namespace hypura
