#include "generate/scheduler/pass_counters.h"

#include <algorithm>
#include <utility>

#include "backend/gpu/gpu_stats.h"
#include "backend/worker_stats.h"

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

GpuCounters counters_of(const GpuStats& gpu, std::string name) {
  return {std::move(name),     gpu.decode_lookups, gpu.decode_hits,         gpu.prefetches,
          gpu.prefetches_used, gpu.cpu_experts,    gpu.uploaded_bytes,      gpu.downloaded_bytes,
          gpu.staged_layers,   gpu.seeded,         gpu.choice_wait_seconds, gpu.copy_wait_seconds};
}

// Of one of the GPUs.
void add_gpu(const GpuStats& gpu, const GpuCounters& its, EngineStats& stats) {
  stats.gpu_expert_lookups += its.expert_lookups;
  stats.gpu_expert_hits += its.expert_hits;
  stats.expert_hits += its.expert_hits;
  stats.gpu_experts_copied_ahead += its.experts_copied_ahead;
  stats.gpu_experts_used_ahead += its.experts_used_ahead;
  stats.experts_read_ahead += gpu.read_ahead;
  stats.experts_used_ahead += gpu.read_ahead_used;
  stats.io_wait_seconds += gpu.read_wait_seconds;
  stats.experts_predicted += gpu.predictions;
  stats.experts_predicted_correct += gpu.predictions_correct;
  stats.experts_predictable += gpu.predictable;
  stats.experts_warmed += gpu.warmed;
  stats.warm_bytes += gpu.warm_bytes;
  stats.cpu_experts += its.cpu_experts;
  stats.gpu_upload_bytes += its.upload_bytes;
  stats.gpu_download_bytes += its.download_bytes;
  stats.gpu_staged_layers += its.staged_layers;
  stats.gpu_seeded_experts += its.seeded_experts;
  stats.gpu_choice_wait_seconds += its.choice_wait_seconds;
  stats.gpu_copy_wait_seconds += its.copy_wait_seconds;
}

// What was looked up in RAM had been missed in VRAM, but for the processors' layers.
void add_gpus(const StreamedWeights& weights, uint64_t host_lookups, EngineStats& stats) {
  const std::vector<const GpuStats*> gpus = weights.gpu_stats();
  const std::vector<std::string> names = weights.gpu_names();
  for (size_t i = 0; i < gpus.size(); ++i) {
    stats.gpus.push_back(counters_of(*gpus[i], names[i]));
    add_gpu(*gpus[i], stats.gpus.back(), stats);
  }
  stats.expert_lookups = gpus.empty() ? stats.expert_lookups : stats.gpu_expert_lookups + host_lookups;
}

}  // namespace

void add_worker(const WorkerStats& its, EngineStats& stats) {
  WorkerCounters& worker = stats.workers.emplace_back();
  worker.name = its.name;
  worker.joined = its.joined ? 1 : 0;
  worker.asks = its.asks;
  worker.experts = its.experts;
  worker.expert_hits = its.hits;
  worker.rows = its.rows;
  worker.rows_done_here = its.rows_here;
  worker.losses = its.losses;
  worker.read_bytes = its.read_bytes;
  worker.sent_bytes = its.sent_bytes;
  worker.received_bytes = its.received_bytes;
  worker.wait_seconds = its.wait_seconds;
}

void add_kept(const KeptKvStats& kept, EngineStats& stats) {
  stats.kv_host_entries = kept.store.host_entries;
  stats.kv_host_bytes = kept.store.host_bytes;
  stats.kv_disk_entries = kept.store.disk.entries;
  stats.kv_disk_bytes = kept.store.disk.bytes;
  stats.kv_entries_fetched = kept.store.hits;
  stats.kv_restored_tokens = kept.restored_tokens;
  stats.kv_read_bytes = kept.store.disk.read_bytes;
  stats.kv_written_bytes = kept.store.disk.written_bytes;
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
  stats.table_rows = stream.table_lookups;
  stats.table_rows_read = stream.table_reads;
  stats.io_wait_seconds = stream.io_wait_seconds;
  stats.stream_compute_seconds = stream.compute_seconds;
  stats.stream_kernel_seconds = weights.kernel_seconds();
  stats.gpu_demoted_experts = stream.lowered;
  add_gpus(weights, stream.host_lookups, stats);
  for (const WorkerStats* its : weights.worker_stats()) {
    add_worker(*its, stats);
  }
}

void add_links(const std::vector<double>& upload_rates, EngineStats& stats) {
  for (size_t i = 0; i < std::min(upload_rates.size(), stats.gpus.size()); ++i) {
    GpuCounters& gpu = stats.gpus[i];
    gpu.link_busy_seconds = upload_rates[i] > 0 ? static_cast<double>(gpu.upload_bytes) / upload_rates[i] : 0;
    stats.gpu_link_busy_seconds += gpu.link_busy_seconds;
  }
}

}  // namespace hypura
