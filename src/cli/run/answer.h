// One answer, from the session to an output, stoppable by Ctrl-C.
#pragma once

#include <functional>
#include <string>

#include "cli/output.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

struct Answer {
  std::string text;
  StopReason stop = StopReason::kEndOfText;
  bool interrupted = false;  // Ctrl-C, whatever `stop` says
};

// Makes tokens with the options it is given: Session::complete or Session::chat, bound to their text.
using Generate = std::function<Result<Generated>(const GenerateOptions&)>;

// Runs `generate` and writes each piece of text to `output` as it comes; ends the last line. Stops early on Ctrl-C and
// when the output's reader is gone (output.closed(); not an error). Ctrl-C number `fatal_press` ends the program.
// Fails as `generate` does, and with kIo when the output could not be written.
Result<Answer> stream_answer(const Generate& generate, GenerateOptions options, Output& output, int fatal_press);

}  // namespace hypura
