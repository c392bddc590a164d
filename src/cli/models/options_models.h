// The flags of `hypura list`, `hypura show` and `hypura rm`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace hypura {

struct ModelsOptions {
  enum class What { kList, kShow, kRemove };
  What what = What::kList;
  std::string name;   // of kShow and kRemove
  bool json = false;  // of kList and kShow
};

struct ModelsCommands {
  CLI::App* list = nullptr;
  CLI::App* show = nullptr;
  CLI::App* remove = nullptr;
};

// Adds the commands to `program`; parsing fills in `options`, which must outlive it.
ModelsCommands add_models_commands(CLI::App& program, ModelsOptions& options);

}  // namespace hypura
