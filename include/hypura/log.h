// Where the library's log goes. Failures are returned as results; the log has warnings and progress.
#pragma once

#include <functional>
#include <string_view>

namespace hypura {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Until this is called, warnings and errors go to stderr. `sink` receives each line of level `least` or higher, without
// a line end, from any thread, one call at a time; none: nothing is logged. Call it before any other function.
void set_log(LogLevel least, std::function<void(LogLevel, std::string_view)> sink);

}  // namespace hypura
