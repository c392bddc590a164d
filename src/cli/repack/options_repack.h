// The flags of `hypura repack`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace hypura {

struct RepackCommandOptions {
  std::filesystem::path model;
  std::optional<uint64_t> memory;  // that the model is to run in; none: what this machine allows
  bool force = false;              // repack though nothing is gained
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_repack_command(CLI::App& program, RepackCommandOptions& options);

}  // namespace hypura
