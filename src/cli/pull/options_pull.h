// The flags of `hypura pull`.
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace hypura {

struct PullOptions {
  std::string name;
};

// Adds the command to `program`, which owns it; its flags are stored in `options`, which must outlive the parsing.
CLI::App* add_pull_command(CLI::App& program, PullOptions& options);

// --yes, of all commands that may fetch a model.
void add_yes_option(CLI::App& command, bool& yes, const char* group);

}  // namespace hypura
