#include "cli/profile/options_profile.h"

#include <string>

namespace hypura {

namespace {

constexpr const char* kProfileFooter =
    R"(Takes about eight seconds, and three for each GPU; run nothing else meanwhile. The result is cached in
~/.cache/hypura for each machine and file system. It is measured again when the hardware, system or version changes.

Examples:
  hypura profile
  hypura profile --path /mnt/models
  hypura profile --path model.gguf --force --json
  hypura profile --gpu CUDA0,CUDA1

Exit codes: 0 done, 1 internal, 2 usage, 4 budget, 5 input/output)";

}  // namespace

CLI::App* add_profile_command(CLI::App& program, ProfileCommandOptions& options) {
  CLI::App* command =
      program.add_subcommand("profile", "Measure this machine and a disk")->group("Commands")->footer(kProfileFooter);
  command
      ->add_option("--path", options.path, "Folder on the disk to measure, or a model file (default: current folder)")
      ->check([](const std::string& text) { return text.empty() ? std::string("the path is empty") : std::string(); })
      ->option_text("PATH");
  command->add_option("--gpu", options.gpu, "GPUs to measure: names, none or auto (default auto)")
      ->check([](const std::string& text) { return text.empty() ? std::string("the name is empty") : std::string(); })
      ->option_text("NAMES");
  CLI::Option* force = command->add_flag("--force", options.force, "Measure anew, even if a result is cached");
  command->add_flag("--again", options.again, "Measure once more, minutes later: keep best and lasting speeds")
      ->excludes(force);
  command->add_flag("--json", options.json, "Print JSON instead of a table");
  return command;
}

}  // namespace hypura
