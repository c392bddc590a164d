#include "cli/run/answer.h"

#include <utility>

#include "cli/interrupt.h"
#include "support/fail.h"

namespace hypura {

Result<Answer> stream_answer(const Generate& generate, GenerateOptions options, Output& output, int fatal_press) {
  const InterruptGuard interrupt(fatal_press);
  options.on_text = [&](std::string_view text) { return output.write(text) && !interrupt.pressed(); };
  options.keep_going = [&] { return !interrupt.pressed(); };
  auto generated = generate(options);
  output.end_line();
  if (!output.status()) {
    return propagate(output.status().error());
  }
  if (!generated && generated.error().code != ErrorCode::kCancelled) {
    return propagate(std::move(generated.error()));
  }
  Answer answer{generated ? std::move(generated->text) : std::string(),
                generated ? generated->stop : StopReason::kCancelled, interrupt.pressed()};
  return answer;
}

}  // namespace hypura
