// The log of commands that serve others: one line for each event, with its time, for people and for programs.
#pragma once

namespace hypura {

// From now on, on standard error. Without `verbose`, no details.
void log_for_serving(bool verbose);

}  // namespace hypura
