#include "cli/devices/options_devices.h"

namespace hypura {

namespace {

constexpr const char* kDevicesFooter =
    R"(Tells what models can be computed on, and of each way to a GPU why it is not used and what to do about it.

Examples:
  hypura devices
  hypura devices --json

Exit codes: 0 done, whether there is a GPU or not; 1 internal, 2 usage, 5 input/output)";

}  // namespace

CLI::App* add_devices_command(CLI::App& program, DevicesOptions& options) {
  CLI::App* command =
      program.add_subcommand("devices", "List the processor and the GPUs that models can be computed on")
          ->group("Commands")
          ->footer(kDevicesFooter);
  command->add_flag("--json", options.json, "Print JSON instead of a table");
  return command;
}

}  // namespace hypura
