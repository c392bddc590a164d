// Lines typed at a terminal: editing, history, Ctrl-C to clear the line, Ctrl-D to end. Uses libedit through its
// own interface (histedit.h): unlike its imitation of readline it lets the program decide what a signal does.
#pragma once

#include <filesystem>
#include <memory>

#include "cli/chat/line_source.h"

namespace hypura {

// Reads standard input, prompts on standard error; both must be terminals. The history is loaded from and kept in
// `history`; a failure to do so is only logged. One at a time, on the main thread. Fails with kInternal when libedit
// cannot be set up.
Result<std::unique_ptr<LineSource>> open_terminal_line_source(std::optional<std::filesystem::path> history);

}  // namespace hypura
