#include "cli/bench/options_bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "cli/options/model_options.h"
#include "cli/options/number_option.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

const NumberRange kTokens{1, 1e6, true, "a whole number from 1 to 1000000"};
const NumberRange kRounds{1, 100, true, "a whole number from 1 to 100"};
const NumberRange kThreads{1, 1024, true, "a whole number from 1 to 1024; leave out the flag for the best known value"};

constexpr const char* kMeasured = "Measurement";
constexpr const char* kWritten = "Output";
constexpr const char* kReplayed = "Replay";

constexpr const char* kBenchFooter =
    R"(The table goes to standard output, progress to standard error. Each run is a separate process. As root, a memory
cgroup enforces the budget; otherwise the table says what was not controlled.

Examples:
  hypura bench
  hypura bench model.gguf --memory 6G
  sudo hypura bench model.gguf --memory 6G --baseline --json figures.json --plot figures.svg
  hypura bench --replay run.trace --slots 400 --slots 600

Exit codes: 0 done, 1 internal, or a failed baseline run, 2 usage, 3 model, 4 budget, 5 input/output,
130 interrupted)";

CLI::Option* add_count(CLI::App& command, const char* flag, const char* text, const NumberRange& range,
                       uint32_t& value) {
  return add_number(command, flag, text, range, [&value](double number) { value = static_cast<uint32_t>(number); });
}

void add_files(CLI::App& command, BenchOptions& options) {
  const auto picture = [](const std::string& text) {
    const std::string extension = std::filesystem::path(text).extension().string();
    return extension == ".svg" || extension == ".png"
               ? std::string()
               : "'" + text + "' is not an image file; use a name that ends in .svg or .png";
  };
  command.add_option("--json", options.json, "Write all runs and figures as JSON")
      ->option_text("FILE")
      ->group(kWritten);
  command.add_option("--plot", options.plot, "Plot the figures (.svg or .png; needs gnuplot)")
      ->check(picture)
      ->option_text("FILE")
      ->group(kWritten);
}

void add_replay(CLI::App& command, BenchOptions& options) {
  command.add_option("--replay", options.replay, "Replay a routing trace: hit rates by cache size and policy")
      ->option_text("FILE")
      ->group(kReplayed);
  command.add_option("--slots", options.slots, "Expert slots in all layers together; repeatable")
      ->check(CLI::Range(1U, 100000000U))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->expected(1)
      ->option_text("N")
      ->group(kReplayed);
}

// Whether a flag says how to measure, which a replay does not.
bool says_how_to_measure(const BenchOptions& options) {
  const BenchOptions usual;
  return !options.model.empty() || options.baseline || options.prompt_tokens != usual.prompt_tokens ||
         options.tokens != usual.tokens || options.memory || options.gpu != usual.gpu || options.vram ||
         !options.vram_each.empty() || options.mixed_compute || options.repeat != usual.repeat || options.context > 0 ||
         options.threads > 0 || options.plot || options.force || options.draft.any() || options.draft.tokens > 0 ||
         !options.mirrors.empty() || !options.workers.empty() || options.split != usual.split || options.trust_network;
}

}  // namespace

CLI::App* add_bench_command(CLI::App& program, BenchOptions& options) {
  CLI::App* command = program.add_subcommand("bench", "Measure speed against what the disk allows");
  command->group("Commands")->footer(kBenchFooter);
  add_model_option(*command, options.model)->group(kMeasured);
  add_memory_option(*command, options.memory)->group(kMeasured);
  add_gpu_options(*command, {options.gpu, options.vram, options.vram_each, options.mixed_compute}, kMeasured);
  command
      ->add_flag("--baseline", options.baseline, "Also measure plain llama.cpp (mapped weights) under the same limit")
      ->group(kMeasured);
  for (CLI::Option* option :
       {add_count(*command, "--prompt-tokens", "Prompt tokens (default 512)", kTokens, options.prompt_tokens),
        add_count(*command, "--tokens", "Decoded tokens to measure (default 64)", kTokens, options.tokens),
        add_count(*command, "--repeat", "Rounds to measure (default 3)", kRounds, options.repeat),
        add_count(*command, "--context", "Context length in tokens (default: as the runs need, at least 1024)", kTokens,
                  options.context),
        add_count(*command, "--threads", "Compute threads (default: best known for this machine)", kThreads,
                  options.threads)}) {
    option->group(kMeasured);
  }
  command->add_flag("--force", options.force, "Run the baseline even when it may exhaust the machine's memory")
      ->group(kMeasured);
  add_mirror_option(*command, options.mirrors, kMeasured);
  add_worker_options(*command, options.workers, options.split, kMeasured);
  add_trust_option(*command, options.trust_network, kMeasured);
  add_draft_options(*command, options.draft, kMeasured);
  add_files(*command, options);
  add_replay(*command, options);
  return command;
}

Status check_bench_options(const BenchOptions& options) {
  if (options.replay && says_how_to_measure(options)) {
    return fail(ErrorCode::kUsage,
                "--replay measures nothing and takes only --slots and --json; leave out the other flags and "
                "the model");
  }
  if (!options.replay && !options.slots.empty()) {
    return fail(ErrorCode::kUsage, "--slots needs --replay; add it, or leave out --slots");
  }
  if (options.context > 0 && options.context < needed_context(options)) {
    return fail(ErrorCode::kUsage,
                "--context {} is too small: {} prompt, {} warm-up and {} measured tokens need {}; leave it out or "
                "measure fewer tokens",
                options.context, options.prompt_tokens, kBenchWarmupTokens, options.tokens, needed_context(options));
  }
  if (options.force && !options.baseline) {
    return fail(ErrorCode::kUsage, "--force needs --baseline; add it, or leave out --force");
  }
  return {};
}

}  // namespace hypura
