#include "cli/models/options_models.h"

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kListFooter =
    R"(Lists what Hypura fetched and what other programs keep, which is used in place: Hugging Face's cache ($HF_HUB_CACHE,
$HF_HOME/hub or ~/.cache/huggingface/hub), Ollama's store ($OLLAMA_MODELS or ~/.ollama/models), LM Studio's folder,
llama.cpp's cache and the folders of --models. Every command that takes a model takes these names.

Examples:
  hypura list
  hypura list --models /data/models --json
  hypura run qwen3:30b -p "Hello"

Exit codes: 0 done, 1 internal, 2 usage, 5 input/output)";

constexpr const char* kShowFooter = R"(Examples:
  hypura show qwen3:30b
  hypura show hf.co/ORG/REPO:Q4_K_M --json

`hypura inspect` tells how it would run. Exit codes: 0 done, 1 internal, 2 usage (no such model), 5 input/output)";

constexpr const char* kRemoveFooter =
    R"(Removes a model that Hypura fetched, or the file of one that was created over HTTP. What another program fetched stays:
remove it with that program. The demo model stays as well.

Examples:
  hypura rm hf.co/ORG/REPO:Q4_K_M

Exit codes: 0 done, 1 internal, 2 usage (no such model, or not Hypura's), 5 input/output)";

}  // namespace

ModelsCommands add_models_commands(CLI::App& program, ModelsOptions& options) {
  const auto add = [&](const char* name, const char* text, const char* footer, ModelsOptions::What what) {
    CLI::App* command = program.add_subcommand(name, text)->group("Commands")->footer(footer);
    command->callback([&options, what] { options.what = what; });
    return command;
  };
  ModelsCommands commands;
  commands.list = add("list", "List the models on this machine", kListFooter, ModelsOptions::What::kList)->alias("ls");
  commands.show = add("show", "Show where a model lies and what it is", kShowFooter, ModelsOptions::What::kShow);
  commands.remove =
      add("rm", "Remove a model that Hypura fetched or created", kRemoveFooter, ModelsOptions::What::kRemove);
  for (CLI::App* command : {commands.show, commands.remove}) {
    command->add_option("MODEL", options.name, "A name that `hypura list` shows")
        ->required()
        ->check(named)
        ->option_text(" ");
  }
  for (CLI::App* command : {commands.list, commands.show}) {
    command->add_flag("--json", options.json, "Print JSON instead of text");
  }
  return commands;
}

}  // namespace hypura
