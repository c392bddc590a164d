// The conversation: reads lines, answers messages, obeys the /commands.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/chat/line_source.h"
#include "cli/output.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

struct ChatSetup {
  GenerateOptions generate;
  std::optional<std::string> system;
  std::optional<std::string> first_message;
  bool interactive = false;  // someone is there to read a message and try again: an answer's failure ends nothing
  Plan plan;
  std::function<EngineStats()> stats;
  std::function<bool()> must_reopen = [] { return false; };  // Engine::must_reopen: no other message is answered
};

// Borrows all it is given; belongs to the main thread (Ctrl-C).
class ChatLoop {
 public:
  // Answers go to `answers`, everything else to `notes`.
  ChatLoop(Session& session, LineSource& lines, Output& answers, Output& notes, ChatSetup setup);

  // Until the lines end, /exit, or the answers' reader is gone. Fails when lines cannot be read, answers cannot be
  // written, or, without `interactive`, when one could not be made; with it when no other could.
  Status run();

 private:
  enum class Next { kContinue, kExit };

  Result<Next> handle(const std::string& line);
  Next command(const std::string& line);
  Result<Next> answer(const std::string& message);
  void after_answer(StopReason stop);
  void start_over();

  Session& session_;
  LineSource& lines_;
  Output& answers_;
  Output& notes_;
  ChatSetup setup_;
  std::vector<ChatMessage> messages_;
  EngineStats before_answer_;
};

}  // namespace hypura
