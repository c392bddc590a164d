// The flags of `hypura devices`.
#pragma once

#include <CLI/CLI.hpp>

namespace hypura {

struct DevicesOptions {
  bool json = false;
};

// Adds the command to `program`; parsing fills in `options`, which must outlive it.
CLI::App* add_devices_command(CLI::App& program, DevicesOptions& options);

}  // namespace hypura
