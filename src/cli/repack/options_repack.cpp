#include "cli/repack/options_repack.h"

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kRepackFooter =
    R"(Writes MODEL.packed beside the model: a copy of the same size, with the matrices in the layout that is fastest on this
processor. Every command then reads the copy, as long as it matches the model and the processor. --no-repacked ignores
it, and you may delete it at any time. The model itself is still needed.

Before it starts it says what the copy will give here, by this machine's profile. Where that is nothing it writes none
and ends with code 2.

Examples:
  hypura repack model.gguf
  hypura repack model.gguf --memory 6G

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output)";

}  // namespace

CLI::App* add_repack_command(CLI::App& program, RepackCommandOptions& options) {
  CLI::App* command = program.add_subcommand("repack", "Write a repacked copy of a model for faster computation")
                          ->group("Commands")
                          ->alias("pack")
                          ->footer(kRepackFooter);
  command->add_option("MODEL", options.model, "GGUF file, or the name of one in a folder of --models")
      ->required()
      ->check(named)
      ->option_text(" ");
  add_memory_option(*command, options.memory);
  command->add_flag("--force", options.force, "Write the copy even where it gives nothing here");
  return command;
}

}  // namespace hypura
