#include "cli/program.h"

#include <unistd.h>

#include <csignal>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/run/child.h"
#include "cli/commands.h"
#include "cli/models/named_model.h"
#include "cli/options/options.h"
#include "cli/output.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/printable.h"

namespace hypura {

namespace {

Result<int> run_command_line(const CommandLine& command_line) {
  switch (command_line.action) {
    case CommandLine::Action::kPrint: {
      Output out(STDOUT_FILENO, "standard output");
      out.write(command_line.text);
      return out.status().map([] { return 0; });
    }
    case CommandLine::Action::kRun:
      return run_command(command_line.options);
    case CommandLine::Action::kChat:
      return chat_command(command_line.options);
    case CommandLine::Action::kInspect:
      return inspect_command(command_line.inspect);
    case CommandLine::Action::kDevices:
      return devices_command(command_line.devices);
    case CommandLine::Action::kProfile:
      return profile_command(command_line.profile);
    case CommandLine::Action::kPull:
      return pull_command(command_line.pull, command_line.model_folders, command_line.yes);
    case CommandLine::Action::kRepack:
      return repack_command(command_line.repack);
    case CommandLine::Action::kBench:
      return bench_command(command_line.bench);
    case CommandLine::Action::kKv:
      return kv_command(command_line.kv);
    case CommandLine::Action::kModels:
      return models_command(command_line.models, command_line.model_folders);
    case CommandLine::Action::kServe:
      return serve_command(command_line.serve, command_line.model_folders, command_line.yes);
    case CommandLine::Action::kWorker:
      return worker_command(command_line.worker);
  }
  return fail(ErrorCode::kInternal, "the command line names a command that does not exist");
}

Result<int> run_with_models(CommandLine command_line) {
  const auto notes = resolve_models(command_line);
  if (!notes) {
    return propagate(notes.error());
  }
  for (const std::string& note : *notes) {
    Output(STDERR_FILENO, "standard error").write(fmt::format("hypura: {}\n", printable_lines(note)));
  }
  return run_command_line(command_line);
}

}  // namespace

int exit_code(ErrorCode code) {
  return code == ErrorCode::kCancelled ? kExitInterrupted : static_cast<int>(code);
}

int run_program(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a write then fails, and what was written is removed
  const std::span<char*> words(argv, static_cast<size_t>(argc));
  // Not for people: a process that `hypura bench` starts for one run.
  if (words.size() == 3 && std::string_view(words[1]) == kChildCommand) {
    return run_as_child(words[2]);
  }
  auto command_line = parse_command_line({words.begin() + (words.empty() ? 0 : 1), words.end()});
  init_log(command_line &&
           (command_line->options.verbose || command_line->serve.verbose || command_line->worker.verbose));
  const auto code = std::move(command_line).and_then(run_with_models);
  if (code) {
    return *code;
  }
  Output(STDERR_FILENO, "standard error")
      .write(fmt::format("hypura: error: {}\n", printable_lines(code.error().message)));
  return exit_code(code.error().code);
}

}  // namespace hypura
