// What a phase of a run costs: between two moments of this process.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "bench/run/bench_engine.h"
#include "bench/run/run_spec.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

struct Moment {
  std::chrono::steady_clock::time_point when;
  Result<uint64_t> read_bytes;  // by this process, as the kernel counts
  EngineStats counted;
};

Moment moment_of(EngineStats counted);

struct Phase {
  PhaseCost cost;
  EngineStats counted;  // in it
};

// Fails with kIo where the kernel does not tell what was read.
Result<Phase> phase_between(const Moment& from, const Moment& to, uint64_t tokens);

// Puts a phase of decoding into the result.
void note_decode(const Phase& phase, RunResult& result);

// Measures an answer whose passes may make several tokens each. The tokens that count are those of whole passes: it
// begins to count where the pass ends by which the first token and `warmup_tokens` more were there.
class AnswerMeter {
 public:
  // The engine is to outlive the meter.
  AnswerMeter(const BenchEngine& engine, uint32_t warmup_tokens);

  // To be called before and between the passes of the prompt, and after each token.
  void look();

  // The answer is over and has `tokens` tokens. Fails with kUsage when it ended before any counted.
  Result<Phase> stop(size_t tokens) const;

 private:
  const BenchEngine& engine_;
  uint64_t warmup_tokens_;
  Moment last_;
  uint64_t tokens_ = 0;  // that were there at last_
  std::optional<Moment> start_;
};

}  // namespace hypura
