#include "generate/scheduler/pass_counters.h"

namespace hypura {

void PassCounters::note_loaded(double seconds) {
  const std::lock_guard lock(mutex_);
  stats_.load_seconds = seconds;
}

// A pass that evaluates a prompt is one for the prompt's figures, whatever rides on it.
void PassCounters::note_pass(const PassWork& pass) {
  const std::lock_guard lock(mutex_);
  stats_.prompt_tokens += pass.prompt_tokens;
  stats_.decoded_tokens += pass.tokens - pass.prompt_tokens;
  const bool prompt = pass.prompt_tokens > 0;
  (prompt ? stats_.prompt_seconds : stats_.decode_seconds) += pass.seconds;
  (prompt ? stats_.prefill_bytes : stats_.decode_bytes) += pass.bytes;
}

void PassCounters::note_drafted(uint32_t drafted, uint32_t accepted) {
  const std::lock_guard lock(mutex_);
  stats_.drafted_tokens += drafted;
  stats_.accepted_draft_tokens += accepted;
  stats_.decoded_tokens -= drafted - accepted;
}

void PassCounters::note_answered(size_t tokens) {
  const std::lock_guard lock(mutex_);
  stats_.answer_tokens += tokens;
}

EngineStats PassCounters::read() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void add_streaming(const StreamedWeights& weights, EngineStats& stats) {
  const StreamStats& stream = weights.stats();
  stats.expert_lookups = stream.decode_lookups;
  stats.expert_hits = stream.decode_hits;
  stats.experts_read_ahead = stream.prefetches;
  stats.experts_used_ahead = stream.prefetches_used;
  stats.experts_predicted = stream.predictions;
  stats.experts_predicted_correct = stream.predictions_correct;
  stats.experts_predictable = stream.predictable;
  stats.experts_warmed = stream.warmed;
  stats.warm_bytes = stream.warm_bytes;
  stats.io_wait_seconds = stream.io_wait_seconds;
  stats.stream_compute_seconds = stream.compute_seconds;
  stats.stream_kernel_seconds = weights.kernel_seconds();
}

}  // namespace hypura
