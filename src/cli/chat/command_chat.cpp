#include <unistd.h>

#include <iostream>

#include "cli/chat/chat_loop.h"
#include "cli/chat/history_file.h"
#include "cli/chat/terminal_line_source.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/run/prompt.h"
#include "cli/statistics.h"
#include "cli/trace_file.h"
#include "support/fail.h"

namespace hypura {

namespace {

Result<std::unique_ptr<LineSource>> open_lines(bool at_terminal) {
  if (at_terminal) {
    return open_terminal_line_source(history_path());
  }
  return std::make_unique<StreamLineSource>(std::cin);
}

// The message that --prompt or --file gives; standard input is left to the conversation.
Result<std::optional<std::string>> first_message(const RunOptions& options) {
  return read_prompt(options, std::cin, true);
}

}  // namespace

Result<int> chat_command(const RunOptions& options) {
  Output answers(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  const bool at_terminal = ::isatty(STDIN_FILENO) == 1 && notes.is_terminal();
  auto first = first_message(options);
  if (!first) {
    return propagate(first.error());
  }
  const auto engine = open_model(options, notes);
  if (!engine) {
    return propagate(engine.error());
  }
  if (!(*engine)->has_chat_template()) {
    return fail(ErrorCode::kUsage, "this model has no chat template, so it cannot chat; use `hypura run`");
  }
  const auto session = (*engine)->new_session();
  if (!session) {
    return propagate(session.error());
  }
  const auto lines = open_lines(at_terminal);
  if (!lines) {
    return propagate(lines.error());
  }
  ChatSetup setup;
  setup.generate.max_tokens = options.max_tokens;
  setup.generate.sampling = options.sampling;
  setup.system = options.system;
  setup.first_message = std::move(*first);
  setup.interactive = at_terminal;
  setup.plan = (*engine)->plan();
  setup.stats = [&engine] { return (*engine)->stats(); };
  setup.must_reopen = [&engine] { return (*engine)->must_reopen(); };
  if (at_terminal && options.stats == StatsFormat::kText) {
    notes.write("/help lists the commands, Ctrl-D ends.\n");
  }
  const auto status = ChatLoop(**session, **lines, answers, notes, std::move(setup)).run();
  if (!status) {
    return propagate(status.error());
  }
  const EngineStats stats = (*engine)->stats();
  notes.write(options.stats == StatsFormat::kJson
                  ? statistics_json(stats, (*engine)->plan(), (*engine)->model_name(), std::nullopt) + "\n"
                  : statistics_line(stats, (*engine)->plan()) + "\n");
  close_model(**engine);
  if (Status written = write_trace(options, **engine, notes); !written) {
    return propagate(written.error());
  }
  return 0;
}

}  // namespace hypura
