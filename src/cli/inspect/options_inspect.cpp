#include "cli/inspect/options_inspect.h"

#include <CLI/CLI.hpp>
#include <string>

#include "cli/options/model_options.h"

namespace hypura {

namespace {

constexpr const char* kInspectFooter =
    R"(Reads only the model's header; of a model that is not on this machine, a few MiB from its server. Workers are measured, and left again. Without --memory, plans for the memory this machine allows. NO_COLOR disables colours.

Examples:
  hypura inspect model.gguf
  hypura inspect model.gguf --memory 32G --context 16384
  hypura inspect hf.co/Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M
  hypura inspect model-00001-of-00020.gguf --memory 32G --html plan.html
  hypura inspect model.gguf --worker 10.8.0.2:52525
  hypura inspect model.gguf --json | jq .plan.predicted

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output)";

}  // namespace

CLI::App* add_inspect_command(CLI::App& program, InspectOptions& options) {
  CLI::App* command = program.add_subcommand("inspect", "Show a model and how it would run on this machine")
                          ->group("Commands")
                          ->footer(kInspectFooter);
  add_model_option(*command, options.model);
  add_memory_option(*command, options.memory);
  add_gpu_options(*command, {options.gpu, options.vram, options.vram_each, options.mixed_compute}, nullptr);
  add_worker_options(*command, options.workers, options.split, nullptr);
  add_trust_option(*command, options.trust_network, nullptr);
  add_context_option(*command, [&options](uint32_t tokens) { options.context = tokens; });
  add_threads_option(*command, options.threads);
  command->add_flag("--tensors", options.tensors, "Also list every tensor, in the text and on the page");
  command->add_flag("--json", options.json, "Print JSON instead of text, with every tensor");
  command->add_option("--html", options.html, "Also write the plan as a web page")->check(named)->option_text("FILE");
  return command;
}

}  // namespace hypura
