#include "cli/options/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <utility>

#include "cli/options/model_options.h"
#include "cli/options/number_option.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr double kMaxInt = std::numeric_limits<int32_t>::max();
constexpr double kMaxUnsigned = std::numeric_limits<uint32_t>::max();

const NumberRange kCount{1, kMaxInt, true, "a whole number of 1 or more"};
const NumberRange kCountOrZero{0, kMaxInt, true, "a whole number of 0 or more"};
const NumberRange kSeed{0, kMaxUnsigned, true, "a whole number from 0 to 4294967295"};
const NumberRange kNotNegative{0, 1e6, false, "a number of 0 or more"};
const NumberRange kShare{0, 1, false, "a number from 0 to 1"};
const NumberRange kPenalty{0.01, 100, false, "a number from 0.01 to 100"};

constexpr const char* kModelGroup = "Model and memory";
constexpr const char* kPromptGroup = "Prompt";

constexpr const char* kMainFooter = R"(Examples:
  hypura run --prompt "Once upon a time"
  hypura chat model.gguf --memory 6G
  hypura pull qwen3:30b
  hypura list
  hypura inspect qwen3:30b --memory 6G
  hypura devices
  hypura profile --path /models
  hypura repack model.gguf
  hypura bench model.gguf --memory 6G
  hypura serve model.gguf --memory 6G
  hypura worker model.gguf --memory 24G
  hypura kv list

`hypura COMMAND --help` shows a command's flags.)";

constexpr const char* kRunFooter =
    R"(Without --prompt and --file, the prompt is read from standard input unless that is a terminal.
The answer goes to standard output, everything else to standard error.

Examples:
  hypura run --prompt "Once upon a time" --max-tokens 100
  hypura run model.gguf --memory 6G -p "Explain mmap in two sentences."
  git diff | hypura run model.gguf --system "Review this patch."
  hypura run model.gguf --raw --file story.txt --temp 0 --stats json

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output, 6 context full, 130 interrupted)";

constexpr const char* kChatFooter =
    R"(/help lists the commands. Ctrl-C stops an answer, Ctrl-D ends the conversation.
When standard input is not a terminal, each line is one message.

Examples:
  hypura chat
  hypura chat model.gguf --memory 6G --system "Answer briefly."

Exit codes: 0 done, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output, 6 context full, 130 interrupted)";

void add_model_options(CLI::App& command, RunOptions& options) {
  add_model_option(command, options.engine.model)->group(kModelGroup);
  options.engine.context = 0;  // what the budget affords
  add_engine_options(
      command, options.engine, [&options](uint32_t tokens) { options.engine.context = tokens; }, kModelGroup);
  add_kv_disk_option(command, options.engine.kv_disk)->group(kModelGroup);
}

void add_sampling_options(CLI::App& command, RunOptions& options) {
  SamplingOptions& sampling = options.sampling;
  std::vector<CLI::Option*> added;
  added.push_back(add_number(command, "-n,--max-tokens", "Maximum tokens to generate (default: until the model stops)",
                             kCount, [&options](double n) { options.max_tokens = static_cast<int32_t>(n); }));
  added.push_back(add_number(command, "--temp", "Temperature; 0 is greedy (default 0.8)", kNotNegative,
                             [&](double n) { sampling.temperature = static_cast<float>(n); }));
  added.push_back(add_number(command, "--top-k", "Sample from the N most likely tokens; 0: all (default 40)",
                             kCountOrZero, [&](double n) { sampling.top_k = static_cast<int32_t>(n); }));
  added.push_back(add_number(command, "--top-p",
                             "Sample from the top tokens with total probability N, 0 to 1 (default 0.95)", kShare,
                             [&](double n) { sampling.top_p = static_cast<float>(n); }));
  added.push_back(add_number(command, "--min-p",
                             "Drop tokens less likely than N times the top token, 0 to 1 (default 0.05)", kShare,
                             [&](double n) { sampling.min_p = static_cast<float>(n); }));
  added.push_back(add_number(command, "--repeat-penalty", "Penalty for repeated tokens (default 1: off)", kPenalty,
                             [&](double n) { sampling.repeat_penalty = static_cast<float>(n); }));
  added.push_back(add_number(command, "--seed", "Random seed (default: a new one each time)", kSeed,
                             [&](double n) { sampling.seed = static_cast<uint32_t>(n); }));
  for (CLI::Option* option : added) {
    option->group("Sampling");
  }
}

void add_output_options(CLI::App& command, RunOptions& options) {
  command
      .add_option_function<std::string>(
          "--stats",
          [&options](const std::string& text) {
            options.stats = text == "json" ? StatsFormat::kJson : StatsFormat::kText;
          },
          "Format of the statistics on standard error: text or json (default text)")
      ->check([](const std::string& text) {
        return text == "text" || text == "json" ? std::string() : "'" + text + "' is not text or json";
      })
      ->option_text("FORMAT")
      ->group("Output");
  command.add_flag("--verbose", options.verbose, "Show the memory ledger and the log")->group("Output");
  const auto trace = [&options](const std::string& text) {
    options.trace = text;
    options.engine.record_routing = true;
  };
  command.add_option_function<std::string>("--trace", trace, "Write a routing trace, for `hypura bench --replay`")
      ->check(named)
      ->option_text("FILE")
      ->group("Output");
}

void add_prompt_options(CLI::App& command, RunOptions& options, bool& interactive) {
  command.add_option("-p,--prompt", options.prompt, "The prompt")->option_text("TEXT")->group(kPromptGroup);
  command.add_option("-f,--file", options.file, "Read the prompt from a file; - is standard input")
      ->option_text("FILE")
      ->group(kPromptGroup);
  command.add_option("--system", options.system, "System prompt")->option_text("TEXT")->group(kPromptGroup);
  add_chat_template_option(command, options.engine.chat_template)->group(kPromptGroup);
  command.add_flag("--raw", options.raw, "Use the prompt as it is, without the chat template")->group(kPromptGroup);
  command.add_flag("-i,--interactive", interactive, "Continue as `hypura chat`, with the prompt as the first message")
      ->group(kPromptGroup);
}

// Flags that cannot mean anything together.
Status check_contradictions(const RunOptions& options, bool interactive) {
  if (options.prompt && options.file) {
    return fail(ErrorCode::kUsage, "--prompt and --file cannot be combined; leave one out");
  }
  if (options.raw && options.system) {
    return fail(ErrorCode::kUsage, "--system needs the chat template, which --raw disables; drop one of them");
  }
  if (options.raw && !options.engine.chat_template.empty()) {
    return fail(ErrorCode::kUsage, "--chat-template is of no use with --raw; drop one of them");
  }
  if (options.raw && interactive) {
    return fail(ErrorCode::kUsage, "--interactive needs the chat template, which --raw disables; drop one of them");
  }
  if (interactive && options.file && *options.file == "-") {
    return fail(ErrorCode::kUsage, "--file - and --interactive would both read standard input; name a file");
  }
  return {};
}

CommandLine print(std::string text) {
  CommandLine command_line;
  command_line.text = std::move(text);
  return command_line;
}

// The library puts two empty lines between groups.
std::string single_spaced(std::string text) {
  for (size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
    text.erase(at, 1);
  }
  return text;
}

// `hypura run --help`, or of the program when no command was recognised.
std::string help_command(const CLI::App& program) {
  const auto commands = program.get_subcommands();
  return commands.empty() ? "hypura --help" : fmt::format("hypura {} --help", commands.front()->get_name());
}

// The one place that meets the library's exceptions. Gives the text to print instead of running anything, if so asked.
Result<std::optional<std::string>> parse(CLI::App& program, std::vector<std::string> reversed_words) {
  try {
    program.parse(std::move(reversed_words));
  } catch (const CLI::CallForHelp&) {
    return single_spaced(program.help());
  } catch (const CLI::CallForVersion& version) {
    return std::string(version.what()) + "\n";
  } catch (const CLI::ExtrasError&) {
    const auto extra = program.remaining(true);
    const std::string word = extra.empty() ? "" : fmt::format(" '{}'", extra.front());
    return fail(ErrorCode::kUsage, "unexpected argument{}; see `{}`", word, help_command(program));
  } catch (const CLI::ArgumentMismatch& error) {
    return fail(ErrorCode::kUsage, "{}; give the flag once, with its value", error.what());
  } catch (const CLI::Error& error) {
    return fail(ErrorCode::kUsage, "{}", error.what());
  }
  return std::nullopt;
}

}  // namespace

Result<CommandLine> parse_command_line(std::vector<std::string> words) {
  CLI::App program{"Run language models (GGUF files) larger than memory by streaming them from disk.", "hypura"};
  program.get_formatter()->column_width(28);
  program.get_formatter()->label("SUBCOMMAND", "COMMAND");
  program.get_formatter()->label("Subcommand", "COMMAND");
  program.set_help_flag("-h,--help", "Show this help");
  program.set_version_flag("--version", "hypura " HYPURA_VERSION, "Show the version");
  program.footer(kMainFooter);

  CommandLine command_line;
  RunOptions& options = command_line.options;
  bool interactive = false;
  CLI::App* run = program.add_subcommand("run", "Generate from a prompt")->group("Commands")->footer(kRunFooter);
  CLI::App* chat = program.add_subcommand("chat", "Chat in the terminal")->group("Commands")->footer(kChatFooter);
  add_model_options(*run, options);
  add_prompt_options(*run, options, interactive);
  add_model_options(*chat, options);
  chat->add_option("--system", options.system, "System prompt")->option_text("TEXT")->group(kPromptGroup);
  add_chat_template_option(*chat, options.engine.chat_template)->group(kPromptGroup);
  for (CLI::App* command : {run, chat}) {
    add_sampling_options(*command, options);
    add_output_options(*command, options);
  }
  CLI::App* bench = add_bench_command(program, command_line.bench);
  const CLI::App* devices = add_devices_command(program, command_line.devices);
  CLI::App* inspect = add_inspect_command(program, command_line.inspect);
  const CLI::App* kv = add_kv_command(program, command_line.kv);
  const ModelsCommands models = add_models_commands(program, command_line.models);
  const CLI::App* profile = add_profile_command(program, command_line.profile);
  CLI::App* pull = add_pull_command(program, command_line.pull);
  CLI::App* repack = add_repack_command(program, command_line.repack);
  CLI::App* serve = add_serve_command(program, command_line.serve);
  CLI::App* worker = add_worker_command(program, command_line.worker);
  for (CLI::App* command : {run, chat, serve}) {
    add_models_folder_option(*command, command_line.model_folders)->group(kModelGroup);
    add_yes_option(*command, command_line.yes, kModelGroup);
  }
  for (CLI::App* command : {bench, inspect, pull, repack, worker, models.list, models.show, models.remove}) {
    add_models_folder_option(*command, command_line.model_folders);
  }
  for (CLI::App* command : {bench, pull}) {
    add_yes_option(*command, command_line.yes, nullptr);
  }

  std::reverse(words.begin(), words.end());
  if (auto parsed = parse(program, std::move(words)); !parsed || parsed->has_value()) {
    return parsed ? Result<CommandLine>(print(**parsed)) : propagate(parsed.error());
  }
  if (program.get_subcommands().empty()) {
    return print(single_spaced(program.help()));
  }
  if (program.got_subcommand(bench)) {
    command_line.action = CommandLine::Action::kBench;
    return check_bench_options(command_line.bench).map([&] { return command_line; });
  }
  if (program.got_subcommand(serve)) {
    command_line.action = CommandLine::Action::kServe;
    return check_serve_options(command_line.serve).map([&] { return command_line; });
  }
  if (program.got_subcommand(worker)) {
    command_line.action = CommandLine::Action::kWorker;
    return check_worker_options(command_line.worker).map([&] { return command_line; });
  }
  if (program.got_subcommand(pull)) {
    command_line.action = CommandLine::Action::kPull;
    return command_line;
  }
  if (program.got_subcommand(repack)) {
    command_line.action = CommandLine::Action::kRepack;
    return command_line;
  }
  if (program.got_subcommand(kv)) {
    command_line.action = CommandLine::Action::kKv;
    return command_line;
  }
  for (const CLI::App* command : {models.list, models.show, models.remove}) {
    if (program.got_subcommand(command)) {
      command_line.action = CommandLine::Action::kModels;
      return command_line;
    }
  }
  if (program.got_subcommand(devices)) {
    command_line.action = CommandLine::Action::kDevices;
    return command_line;
  }
  if (program.got_subcommand(inspect) || program.got_subcommand(profile)) {
    const bool inspects = program.got_subcommand(inspect);
    command_line.action = inspects ? CommandLine::Action::kInspect : CommandLine::Action::kProfile;
    return command_line;
  }
  if (auto status = check_contradictions(options, interactive); !status) {
    return propagate(status.error());
  }
  const bool is_chat = interactive || program.got_subcommand(chat);
  command_line.action = is_chat ? CommandLine::Action::kChat : CommandLine::Action::kRun;
  // A single prompt is kept only if that is asked for.
  options.engine.keep_kv = is_chat || options.engine.kv_disk.value_or(0) > 0;
  return command_line;
}

}  // namespace hypura
