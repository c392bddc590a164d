#include "measure/measure_run.h"

#include <chrono>
#include <string>
#include <utility>

#include "hardware/memory.h"
#include "measure/prompt_text.h"
#include "storage/process_reads.h"
#include "support/elapsed.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

// Adds what passes between construction and stop() to a phase.
class PhaseMeter {
 public:
  PhaseMeter(const Subject& subject, PhaseCost& cost)
      : subject_(subject),
        cost_(cost),
        counters_(subject.counters()),
        bytes_(process_read_bytes()),
        start_(Clock::now()) {}

  // Gives what the engine counted meanwhile.
  Result<EngineStats> stop(uint64_t tokens) {
    const double seconds = seconds_since(start_);
    const auto bytes = process_read_bytes();
    if (!bytes_ || !bytes) {
      return propagate(bytes_ ? bytes.error() : bytes_.error());
    }
    const EngineStats counted = subject_.counters().since(counters_);
    cost_ = {tokens, seconds, *bytes - *bytes_, split_of(counted, seconds), counted.disk_busy_seconds};
    return counted;
  }

 private:
  const Subject& subject_;
  PhaseCost& cost_;
  EngineStats counters_;
  Result<uint64_t> bytes_;
  Clock::time_point start_;
};

Status decode(Subject& subject, uint32_t count, std::vector<int32_t>& chosen) {
  for (uint32_t i = 0; i < count; ++i) {
    auto token = subject.next(chosen.back());
    if (!token) {
      return propagate(token.error());
    }
    chosen.push_back(*token);
  }
  return {};
}

// Opening has no engine yet whose counters could be read: only time and bytes.
Status open_subject(Subject& subject, const RunSpec& spec, PhaseCost& load) {
  const auto before = process_read_bytes();
  const auto start = Clock::now();
  if (Status status = subject.open(spec); !status) {
    return status;
  }
  load.seconds = seconds_since(start);
  const auto after = process_read_bytes();
  if (!before || !after) {
    return propagate(before ? after.error() : before.error());
  }
  load.bytes = *after - *before;
  const uint64_t needed = uint64_t{spec.prompt_tokens} + spec.warmup_tokens + spec.tokens;
  if (needed > subject.context_size()) {
    return fail(ErrorCode::kUsage,
                "{} prompt tokens, {} to warm up and {} to count need a context of {}, and this one holds {} tokens: "
                "measure fewer, or give a larger context if the model was trained for it",
                spec.prompt_tokens, spec.warmup_tokens, spec.tokens, needed, subject.context_size());
  }
  return {};
}

Status measure_prompt(Subject& subject, const RunSpec& spec, RunResult& result) {
  const auto text =
      prompt_text([&](const std::string& it) { return subject.tokenize(it).size(); }, spec.prompt_tokens, 1);
  if (!text) {
    return propagate(text.error());
  }
  PhaseMeter meter(subject, result.prefill);
  const auto first = subject.prompt(*text);
  if (!first) {
    return propagate(first.error());
  }
  if (const auto counted = meter.stop(spec.prompt_tokens); !counted) {
    return propagate(counted.error());
  }
  result.first_token_seconds = result.load.seconds + result.prefill.seconds;
  result.chosen.push_back(*first);
  return {};
}

Status measure_decode(Subject& subject, const RunSpec& spec, RunResult& result) {
  if (Status status = decode(subject, spec.warmup_tokens, result.chosen); !status) {
    return status;
  }
  PhaseMeter meter(subject, result.decode);
  if (Status status = decode(subject, spec.tokens, result.chosen); !status) {
    return status;
  }
  const auto counted = meter.stop(spec.tokens);
  if (!counted) {
    return propagate(counted.error());
  }
  result.expert_lookups = counted->expert_lookups;
  result.expert_hits = counted->expert_hits;
  result.io_wait_seconds = counted->io_wait_seconds;
  result.streamed_bytes = counted->streamed_bytes;
  return {};
}

}  // namespace

Result<RunResult> measure_run(Subject& subject, const RunSpec& spec) {
  RunResult result;
  const Status status = open_subject(subject, spec, result.load)
                            .and_then([&] { return measure_prompt(subject, spec, result); })
                            .and_then([&] { return measure_decode(subject, spec, result); });
  if (!status) {
    return propagate(status.error());
  }
  subject.describe(result);
  result.process_peak = read_process_memory().peak;
  return result;
}

}  // namespace hypura
