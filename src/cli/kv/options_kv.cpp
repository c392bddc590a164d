#include "cli/kv/options_kv.h"

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kKvFooter =
    R"(`hypura serve` and `hypura chat` keep what they computed for conversations, with the conversations' tokens, in
$XDG_CACHE_HOME/hypura/kv or ~/.cache/hypura/kv, so that it need not be computed again. --kv-disk says how much of it,
and --kv-disk 0 keeps conversations off the disk.

Examples:
  hypura kv list
  hypura kv list --json
  hypura kv clear model.gguf
  hypura kv clear

Exit codes: 0 done, 1 internal, 2 usage (nothing is kept of that model), 5 input/output)";

}  // namespace

CLI::App* add_kv_command(CLI::App& program, KvOptions& options) {
  CLI::App* command = program.add_subcommand("kv", "List or clear the conversations that are kept on disk")
                          ->group("Commands")
                          ->require_subcommand(0, 1)
                          ->footer(kKvFooter);
  CLI::App* list = command->add_subcommand("list", "List them by model, as kv alone does");
  list->add_flag("--json", options.json, "Print JSON instead of a table");
  CLI::App* clear = command->add_subcommand("clear", "Remove those of a model, or all");
  clear->add_option("MODEL", options.model, "GGUF file, its name, or that of `hypura list` (default: all models)")
      ->check(named)
      ->option_text(" ");
  clear->callback([&options] { options.what = KvOptions::What::kClear; });
  return command;
}

}  // namespace hypura
