#include "cli/inspect/options_inspect.h"

#include <CLI/CLI.hpp>
#include <string>

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kInspectFooter =
    R"(Reads the model's header only. Without --memory it plans for what this machine allows. NO_COLOR turns colours off.

Examples:
  hypura inspect model.gguf
  hypura inspect model.gguf --memory 32G --context 16384
  hypura inspect model-00001-of-00020.gguf --memory 32G --html plan.html
  hypura inspect model.gguf --json | jq .plan.predicted

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output)";

}  // namespace

CLI::App* add_inspect_command(CLI::App& program, InspectOptions& options) {
  CLI::App* command = program.add_subcommand("inspect", "Show what a model is and how it would run here")
                          ->group("Commands")
                          ->footer(kInspectFooter);
  add_model_option(*command, options.model);
  add_memory_option(*command, options.memory);
  add_context_option(*command, [&options](uint32_t tokens) { options.context = tokens; });
  command->add_flag("--tensors", options.tensors, "Also list every tensor, in the text and on the page");
  command->add_flag("--json", options.json, "JSON instead of text; it always lists every tensor");
  command->add_option("--html", options.html, "Also write a web page")->check(named)->option_text("FILE");
  return command;
}

}  // namespace hypura
