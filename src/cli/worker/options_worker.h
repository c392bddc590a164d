// The flags of `hypura worker`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "hypura/result.h"

namespace hypura {

struct WorkerCommandOptions {
  std::filesystem::path model;
  std::string listen = "127.0.0.1:52525";
  std::optional<uint64_t> memory;  // none: what the machine allows
  uint32_t threads = 0;            // 0: best known
  bool repacked = true;
  bool trust_network = false;
  bool verbose = false;
  // Not for people: this is the process that works, which a supervisor started (cli/worker/worker_process.h).
  bool inherited = false;
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_worker_command(CLI::App& program, WorkerCommandOptions& options);

// Fails with kUsage for an address that is none of a machine's, and for one that others can reach without
// --trust-network.
Status check_worker_options(const WorkerCommandOptions& options);

}  // namespace hypura
