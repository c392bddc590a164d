// The flags of `hypura repack`.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

namespace hypura {

struct RepackCommandOptions {
  std::filesystem::path model;
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_repack_command(CLI::App& program, RepackCommandOptions& options);

}  // namespace hypura
