// The flags of `hypura kv`.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>

namespace hypura {

struct KvOptions {
  enum class What { kList, kClear };
  What what = What::kList;
  bool json = false;                           // of a list
  std::optional<std::filesystem::path> model;  // whose entries are removed; none: all
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_kv_command(CLI::App& program, KvOptions& options);

}  // namespace hypura
