#include "cli/chat/chat_loop.h"

#include <utility>

#include "cli/run/answer.h"
#include "cli/statistics.h"
#include "support/fail.h"

namespace hypura {

namespace {

// One press stops the answer; two more in a row are meant for the program.
constexpr int kFatalPressInChat = 3;

constexpr const char* kHelp =
    "  /help   show this list\n"
    "  /clear  start a new conversation\n"
    "  /stats  statistics of the last answer and of the conversation\n"
    "  /exit   leave (or press Ctrl-D)\n"
    "Ctrl-C stops an answer. To send a message that begins with /, put a space before it.\n";

}  // namespace

ChatLoop::ChatLoop(Session& session, LineSource& lines, Output& answers, Output& notes, ChatSetup setup)
    : session_(session), lines_(lines), answers_(answers), notes_(notes), setup_(std::move(setup)) {
  before_answer_ = setup_.stats();
  start_over();
}

void ChatLoop::start_over() {
  messages_.clear();
  if (setup_.system) {
    messages_.push_back({"system", *setup_.system});
  }
}

Status ChatLoop::run() {
  Next next = Next::kContinue;
  if (setup_.first_message) {
    const auto outcome = answer(*setup_.first_message);
    if (!outcome) {
      return propagate(outcome.error());
    }
    next = *outcome;
  }
  while (next == Next::kContinue) {
    const auto line = lines_.next();
    if (!line) {
      return propagate(line.error());
    }
    if (!line->has_value()) {
      break;
    }
    const auto outcome = handle(**line);
    if (!outcome) {
      return propagate(outcome.error());
    }
    next = *outcome;
  }
  return {};
}

Result<ChatLoop::Next> ChatLoop::handle(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) {
    return Next::kContinue;
  }
  return line.front() == '/' ? command(line) : answer(line);
}

ChatLoop::Next ChatLoop::command(const std::string& line) {
  const std::string name = line.substr(0, line.find_last_not_of(" \t") + 1);
  if (name == "/exit") {
    return Next::kExit;
  }
  if (name == "/help") {
    notes_.write(kHelp);
  } else if (name == "/clear") {
    session_.clear();
    start_over();
    notes_.write("A new conversation.\n");
  } else if (name == "/stats") {
    const EngineStats now = setup_.stats();
    notes_.write(fmt::format("  last answer: {}\n  in all: {}\n  context: {} of {} tokens\n",
                             statistics_line(now.since(before_answer_), setup_.plan), statistics_line(now, setup_.plan),
                             session_.context_used(), session_.context_size()));
    if (const std::string copies = copies_line(now, setup_.plan); !copies.empty()) {
      notes_.write("  " + copies + "\n");
    }
    if (const std::string workers = workers_line(now, setup_.plan); !workers.empty()) {
      notes_.write("  " + workers + "\n");
    }
  } else {
    notes_.write(fmt::format("'{}' is not a command; the commands are:\n{}", name, kHelp));
  }
  return Next::kContinue;
}

Result<ChatLoop::Next> ChatLoop::answer(const std::string& message) {
  before_answer_ = setup_.stats();
  messages_.push_back({"user", message});
  const auto generate = [&](const GenerateOptions& options) { return session_.chat(messages_, options); };
  auto given = stream_answer(generate, setup_.generate, answers_, kFatalPressInChat);
  if (!given || given->text.empty()) {
    // The message stays unanswered, so it is taken back: templates need user and assistant in turn.
    messages_.pop_back();
  } else {
    messages_.push_back({"assistant", std::move(given->text)});
  }
  if (answers_.closed()) {
    return Next::kExit;
  }
  if (!given) {
    if (!setup_.interactive || !answers_.status() || setup_.must_reopen()) {
      return propagate(given.error());
    }
    const bool full = given.error().code == ErrorCode::kContextFull;
    notes_.write(fmt::format("{}{}\n", given.error().message, full ? "; /clear starts a new conversation" : ""));
    return Next::kContinue;
  }
  after_answer(given->stop);
  return Next::kContinue;
}

void ChatLoop::after_answer(StopReason stop) {
  if (stop == StopReason::kContextFull) {
    notes_.write(
        fmt::format("The answer ends here because the context of {} tokens is full; /clear starts a new "
                    "conversation.\n",
                    session_.context_size()));
  }
}

}  // namespace hypura
