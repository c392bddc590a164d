// One of the two engines compared, as the measuring loop sees it: both are driven by the same loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/run/run_spec.h"
#include "hypura/engine.h"
#include "hypura/result.h"
#include "llama/plain_llama.h"
#include "plan/plan_overrides.h"
#include "support/fail.h"

namespace hypura {

// Takes the place of an end-of-text token chosen after the prompt (the engine under test does not show that one): an
// ordinary token of every vocabulary.
inline constexpr int32_t kTokenAfterEnd = 300;

// Belongs to one thread. Every choice of a token is the likeliest one.
class BenchEngine {
 public:
  virtual ~BenchEngine() = default;

  virtual Status open(const RunSpec& spec) = 0;
  virtual std::vector<int32_t> tokenize(const std::string& text) const = 0;

  // Tokens that fit the context of the open model.
  virtual uint32_t context_size() const = 0;

  // Evaluates the whole prompt from an empty context; gives the next token.
  virtual Result<int32_t> prompt(const std::string& text) = 0;

  // Evaluates one more token; gives the next.
  virtual Result<int32_t> next(int32_t token) = 0;

  // Makes `count` tokens after the prompt, fewer where the text ends before: drafts are made here alone. Of what was
  // evaluated of the prompt only the last token is evaluated again. `look` is called as AnswerMeter wants.
  virtual Result<std::vector<int32_t>> answer(const std::string& /*text*/, uint32_t /*count*/,
                                              const std::function<void()>& /*look*/) {
    return fail(ErrorCode::kUsage, "this engine makes no drafts");
  }

  // The engine's own counters; all zero for plain llama.cpp, which has none.
  virtual EngineStats counters() const = 0;

  // Fills in `mode`, `plan` and `resident_bytes`.
  virtual void describe(RunResult& result) const = 0;

  // Saves what later predictions learn from, when the spec says so. Nothing is computed afterwards.
  virtual void close() {}
};

// llama.cpp as it comes, weights mapped (mmap); repacked only when the spec allows.
std::unique_ptr<BenchEngine> make_plain_engine();

// How it is opened for a run.
PlainLlamaOptions plain_options(const RunSpec& spec);

// How this project's engine is opened for a run. Caches begin empty, and nothing is remembered unless the spec says so:
// runs do not learn from each other, but predictions may.
EngineOptions engine_options(const RunSpec& spec);
PlanOverrides plan_overrides(const RunSpec& spec);

// This project's engine with its defaults, within the budget.
std::unique_ptr<BenchEngine> make_hypura_engine();

}  // namespace hypura
