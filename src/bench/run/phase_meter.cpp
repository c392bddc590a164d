#include "bench/run/phase_meter.h"

#include <utility>

#include "storage/process_reads.h"
#include "support/fail.h"

namespace hypura {

Moment moment_of(EngineStats counted) {
  return {std::chrono::steady_clock::now(), process_read_bytes(), counted};
}

Result<Phase> phase_between(const Moment& from, const Moment& to, uint64_t tokens) {
  if (!from.read_bytes || !to.read_bytes) {
    return propagate(from.read_bytes ? to.read_bytes.error() : from.read_bytes.error());
  }
  const double seconds = std::chrono::duration<double>(to.when - from.when).count();
  const EngineStats counted = to.counted.since(from.counted);
  const PhaseCost cost = {tokens, seconds, *to.read_bytes - *from.read_bytes, split_of(counted, seconds),
                          counted.disk_busy_seconds};
  return Phase{cost, counted};
}

void note_decode(const Phase& phase, RunResult& result) {
  result.decode = phase.cost;
  result.expert_lookups = phase.counted.expert_lookups;
  result.expert_hits = phase.counted.expert_hits;
  for (const WorkerCounters& worker : phase.counted.workers) {
    result.expert_lookups += worker.experts;
    result.expert_hits += worker.expert_hits;
  }
  result.gpu_expert_lookups = phase.counted.gpu_expert_lookups;
  result.gpu_expert_hits = phase.counted.gpu_expert_hits;
  result.cpu_experts = phase.counted.cpu_experts;
  result.gpu_upload_bytes = phase.counted.gpu_upload_bytes;
  result.gpu_download_bytes = phase.counted.gpu_download_bytes;
  result.io_wait_seconds = phase.counted.io_wait_seconds;
  result.streamed_bytes = phase.counted.streamed_bytes;
  result.drafted_tokens = phase.counted.drafted_tokens;
  result.accepted_draft_tokens = phase.counted.accepted_draft_tokens;
}

AnswerMeter::AnswerMeter(const BenchEngine& engine, uint32_t warmup_tokens)
    : engine_(engine), warmup_tokens_(warmup_tokens), last_(moment_of(engine.counters())) {}

void AnswerMeter::look() {
  if (start_) {
    return;  // reading the counters would slow down what counts
  }
  Moment now = moment_of(engine_.counters());
  const bool more_of_prompt = now.counted.prompt_seconds > last_.counted.prompt_seconds;
  const bool after_a_pass = now.counted.decode_seconds > last_.counted.decode_seconds;
  if (after_a_pass && tokens_ > warmup_tokens_) {
    start_ = std::move(last_);
    // Drafts are counted when the pass after theirs begins: until now, those of the passes before the start.
    start_->counted.drafted_tokens = now.counted.drafted_tokens;
    start_->counted.accepted_draft_tokens = now.counted.accepted_draft_tokens;
    return;
  }
  tokens_ = more_of_prompt ? 1 : tokens_ + 1;  // the prompt's last pass gives the first token
  last_ = std::move(now);
}

Result<Phase> AnswerMeter::stop(size_t tokens) const {
  if (!start_ || tokens <= tokens_) {
    return fail(
        ErrorCode::kUsage,
        "the text has {} tokens, and behind the first {} no whole pass is left to count: measure more tokens, or, "
        "where the text ended by itself, with a prompt of another length",
        tokens, warmup_tokens_ + 1);
  }
  return phase_between(*start_, moment_of(engine_.counters()), tokens - tokens_);
}

}  // namespace hypura
