// What was done, in words and as JSON. A rate whose denominator is zero is "n/a", in JSON null.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "hypura/engine.h"

namespace hypura {

// "178 tokens, 35.2 tok/s; prompt 9 tokens, 120 tok/s; experts 61.3 % hit; 1.2 MiB/token read; memory 78.1 of 104.0 MiB
// (40.0 MiB for the model, 64.0 MiB for the program)". The rate and bytes per token are those of decode passes. No line
// end.
std::string statistics_line(const EngineStats& stats, const Plan& plan);

// "read from: a.gguf 62 %, /disk2/a.gguf 38 %": the model's copies and what was read of each, loading included. No line
// end. Empty without mirrors, and while nothing was read.
std::string copies_line(const EngineStats& stats, const Plan& plan);

// "workers: 127.0.0.1:52525 1200 experts, 61.3 % hit, waited 0.84 s; box:52525 0 experts, not there": what each
// computed. No line end. Empty where none can be asked.
std::string workers_line(const EngineStats& stats, const Plan& plan);

// One line of JSON: every counter under its own name (bytes, seconds), the rates, the plan and its ledger. `stop` is
// null unless given.
std::string statistics_json(const EngineStats& stats, const Plan& plan, std::string_view model,
                            std::optional<StopReason> stop);

// The memory ledger as a table, one purpose a line, with the sum and the budget below.
std::string ledger_table(const Plan& plan);

// The same beside what is really reserved.
std::string ledger_comparison(const Plan& plan, const std::vector<LedgerLine>& reserved);

}  // namespace hypura
