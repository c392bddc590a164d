// The flags of `hypura profile`.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

namespace hypura {

struct ProfileCommandOptions {
  std::filesystem::path path;  // --path; empty: the current folder
  bool force = false;
  bool again = false;        // as ProfileOptions
  std::string gpu = "auto";  // as ProfileOptions
  bool json = false;
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_profile_command(CLI::App& program, ProfileCommandOptions& options);

}  // namespace hypura
