// One measured run of answers that are served together.
#pragma once

#include "bench/run/run_spec.h"
#include "hypura/result.h"

namespace hypura {

// Opens the model for `spec.answers` answers at once. With one turn: asks for that many at the same moment, each of
// another prompt of about prompt_tokens tokens and of `tokens` tokens at most; `decode` is all of them together, from
// asking to the last token. Of one answer alone `prefill` is the prompt and `decode` the rest; of several, `decode` has
// their prompts as well. With two turns: a conversation that begins with a message of prompt_tokens tokens; only
// first_token_seconds and second_turn_seconds are told. An answer of warmup_tokens tokens goes before.
Result<RunResult> measure_serving(const RunSpec& spec);

}  // namespace hypura
