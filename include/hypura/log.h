// Where the library's log goes. What fails is told by results, not here: the log has what goes on all the same.
#pragma once

#include <functional>
#include <string_view>

namespace hypura {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Until this is called, warnings and errors go to stderr. `sink` gets each line from level `least` on, without a line
// end, from any thread, but one at a time; none: nothing is logged. Call it before all else of the library.
void set_log(LogLevel least, std::function<void(LogLevel, std::string_view)> sink);

}  // namespace hypura
