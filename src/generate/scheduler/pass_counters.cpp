#include "generate/scheduler/pass_counters.h"

#include "backend/gpu/gpu_stats.h"

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

namespace {

// Of one of the GPUs.
void add_gpu(const GpuStats& gpu, EngineStats& stats) {
  const uint64_t hits = gpu.decode_hits;
  stats.gpu_expert_lookups += gpu.decode_lookups;
  stats.gpu_expert_hits += hits;
  stats.expert_hits += hits;
  stats.gpu_experts_copied_ahead += gpu.prefetches;
  stats.gpu_experts_used_ahead += gpu.prefetches_used;
  stats.experts_read_ahead += gpu.read_ahead;
  stats.experts_used_ahead += gpu.read_ahead_used;
  stats.io_wait_seconds += gpu.read_wait_seconds;
  stats.experts_predicted += gpu.predictions;
  stats.experts_predicted_correct += gpu.predictions_correct;
  stats.experts_predictable += gpu.predictable;
  stats.experts_warmed += gpu.warmed;
  stats.warm_bytes += gpu.warm_bytes;
  stats.cpu_experts += gpu.cpu_experts;
  stats.gpu_upload_bytes += gpu.uploaded_bytes;
  stats.gpu_download_bytes += gpu.downloaded_bytes;
  stats.gpu_staged_layers += gpu.staged_layers;
  stats.gpu_seeded_experts += gpu.seeded;
  stats.gpu_choice_wait_seconds += gpu.choice_wait_seconds;
  stats.gpu_copy_wait_seconds += gpu.copy_wait_seconds;
}

// What was looked up in RAM had been missed in VRAM, but for the processors' layers.
void add_gpus(const std::vector<const GpuStats*>& gpus, uint64_t host_lookups, EngineStats& stats) {
  for (const GpuStats* gpu : gpus) {
    add_gpu(*gpu, stats);
  }
  stats.expert_lookups = gpus.empty() ? stats.expert_lookups : stats.gpu_expert_lookups + host_lookups;
}

}  // namespace

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
  stats.table_rows = stream.table_lookups;
  stats.table_rows_read = stream.table_reads;
  stats.io_wait_seconds = stream.io_wait_seconds;
  stats.stream_compute_seconds = stream.compute_seconds;
  stats.stream_kernel_seconds = weights.kernel_seconds();
  stats.gpu_demoted_experts = stream.lowered;
  add_gpus(weights.gpu_stats(), stream.host_lookups, stats);
}

}  // namespace hypura
