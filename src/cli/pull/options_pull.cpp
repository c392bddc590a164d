#include "cli/pull/options_pull.h"

#include <CLI/CLI.hpp>

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kPullFooter =
    R"(NAME is hf.co/ORG/REPO[:QUANT], a name from an Ollama registry as qwen3:30b, or an address https://….gguf.
Without QUANT Q4_K_M is taken, then Q8_0, then the first. Run the same again to go on after an interruption.
Environment variables: HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, https_proxy, no_proxy.
The file's path goes to standard output, everything else to standard error.

Examples:
  hypura inspect hf.co/Qwen/Qwen3-30B-A3B-GGUF
  hypura pull hf.co/Qwen/Qwen3-30B-A3B-GGUF:Q8_0
  hypura pull qwen3:30b

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 5 input/output, 130 interrupted)";

}  // namespace

CLI::App* add_pull_command(CLI::App& program, PullOptions& options) {
  CLI::App* command = program.add_subcommand("pull", "Fetch a model")->group("Commands")->footer(kPullFooter);
  command->add_option("NAME", options.name, "The model")->required()->check(named)->option_text(" ");
  return command;
}

void add_yes_option(CLI::App& command, bool& yes, const char* group) {
  CLI::Option* flag = command.add_flag("--yes", yes, "Fetch a model that is not on this machine without asking");
  if (group != nullptr) {
    flag->group(group);
  }
}

}  // namespace hypura
