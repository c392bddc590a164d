#include <unistd.h>

#include <iostream>

#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/program.h"
#include "cli/run/answer.h"
#include "cli/run/prompt.h"
#include "cli/statistics.h"
#include "cli/trace_file.h"
#include "support/fail.h"

namespace hypura {

namespace {

// The first press stops the answer; whoever presses again does not want to wait for that.
constexpr int kFatalPressOfRun = 2;

// Session::chat or Session::complete, with the prompt bound.
Generate bind_prompt(const RunOptions& options, bool with_template, Session& session, std::string prompt) {
  if (!with_template) {
    return [&session, prompt = std::move(prompt)](const GenerateOptions& generate) {
      return session.complete(prompt, generate);
    };
  }
  std::vector<ChatMessage> messages;
  if (options.system) {
    messages.push_back({"system", *options.system});
  }
  messages.push_back({"user", std::move(prompt)});
  return [&session, messages = std::move(messages)](const GenerateOptions& generate) {
    return session.chat(messages, generate);
  };
}

}  // namespace

Result<int> run_command(const RunOptions& options) {
  Output answers(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  auto prompt = read_prompt(options, std::cin, ::isatty(STDIN_FILENO) == 1);
  if (!prompt) {
    return propagate(prompt.error());
  }
  if (!*prompt) {
    return fail(ErrorCode::kUsage,
                "no prompt; use --prompt TEXT, --file FILE or a pipe, or start a conversation with `hypura chat`");
  }
  const auto engine = open_model(options, notes);
  if (!engine) {
    return propagate(engine.error());
  }
  const bool with_template = !options.raw && (*engine)->has_chat_template();
  if (options.system && !with_template) {
    return fail(ErrorCode::kUsage, "--system needs a chat template, and this model has none; put it into the prompt");
  }
  const auto session = (*engine)->new_session();
  if (!session) {
    return propagate(session.error());
  }
  const Generate generate = bind_prompt(options, with_template, **session, std::move(**prompt));
  GenerateOptions generate_options;
  generate_options.max_tokens = options.max_tokens;
  generate_options.sampling = options.sampling;
  const auto answer = stream_answer(generate, generate_options, answers, kFatalPressOfRun);
  if (!answer) {
    return propagate(answer.error());
  }
  if (options.stats == StatsFormat::kJson) {
    notes.write(statistics_json((*engine)->stats(), (*engine)->plan(), (*engine)->model_name(), answer->stop) + "\n");
  } else {
    if (answer->stop == StopReason::kContextFull) {
      notes.write(
          fmt::format("the answer ends here because the context of {} tokens is full\n", (*session)->context_size()));
    }
    const bool seen_together = answers.is_terminal() && notes.is_terminal();
    const EngineStats stats = (*engine)->stats();
    notes.write((seen_together ? "\n" : "") + statistics_line(stats, (*engine)->plan()) + "\n");
    if (const std::string copies = copies_line(stats, (*engine)->plan()); !copies.empty()) {
      notes.write(copies + "\n");
    }
    if (const std::string workers = workers_line(stats, (*engine)->plan()); !workers.empty()) {
      notes.write(workers + "\n");
    }
  }
  close_model(**engine);
  if (Status status = write_trace(options, **engine, notes); !status) {
    return propagate(status.error());
  }
  return answer->interrupted ? kExitInterrupted : 0;
}

}  // namespace hypura
