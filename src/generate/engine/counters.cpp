#include "generate/engine/counters.h"

#include <algorithm>

namespace hypura {

namespace {

using E = EngineStats;
using S = GeneratorStats;

constexpr std::string_view kReadBytes = "hypura_read_bytes_total";

constexpr Counter<E> kEngineCounters[] = {
    {"prompt_tokens", &E::prompt_tokens, "tokens", "Prompt tokens evaluated."},
    {"decoded_tokens", &E::decoded_tokens, "tokens", "Tokens generated in decode passes."},
    {"answer_tokens", &E::answer_tokens, "tokens", "Tokens returned by sessions."},
    {"drafted_tokens", &E::drafted_tokens, "tokens", "Drafted tokens that were verified.",
     "hypura_drafted_tokens_total"},
    {"accepted_draft_tokens", &E::accepted_draft_tokens, "tokens", "Of those, accepted.",
     "hypura_accepted_draft_tokens_total"},
    {"right_drafted_tokens",
     &E::accepted_draft_tokens,
     "tokens",
     "The older name of accepted_draft_tokens.",
     "hypura_right_drafted_tokens_total",
     {},
     true,
     true},
    {"prompt_seconds", &E::prompt_seconds, "seconds", "Time in prefill passes."},
    {"decode_seconds", &E::decode_seconds, "seconds", "Time in decode passes."},
    {"load_seconds", &E::load_seconds, "seconds", "Load time.", "hypura_load_seconds"},
    {"load_bytes", &E::load_bytes, "bytes", "Bytes read while loading.", kReadBytes, "load"},
    {"streamed_bytes", &E::streamed_bytes, "bytes", "Bytes read since loading."},
    {"prefill_bytes", &E::prefill_bytes, "bytes", "Of those, in prefill passes.", kReadBytes, "prompt"},
    {"decode_bytes", &E::decode_bytes, "bytes", "Of those, in decode passes.", kReadBytes, "decode"},
    {"expert_lookups", &E::expert_lookups, "experts", "Experts requested in decode passes.",
     "hypura_expert_lookups_total"},
    {"expert_hits", &E::expert_hits, "experts", "Of those, in memory when requested.", "hypura_expert_hits_total"},
    {"experts_read_ahead", &E::experts_read_ahead, "experts", "Experts read from disk on a prediction.",
     "hypura_experts_read_ahead_total"},
    {"experts_used_ahead", &E::experts_used_ahead, "experts", "Of those, used by the layer.",
     "hypura_experts_used_ahead_total"},
    {"experts_predicted", &E::experts_predicted, "experts", "Experts predicted for the next layer.",
     "hypura_experts_predicted_total"},
    {"experts_predicted_correct", &E::experts_predicted_correct, "experts", "Of those, chosen by that layer.",
     "hypura_experts_predicted_correct_total"},
    {"experts_predictable", &E::experts_predictable, "experts", "Experts chosen by the layers that had predictions.",
     "hypura_experts_predictable_total"},
    {"experts_guessed",
     &E::experts_predicted,
     "experts",
     "The older name of experts_predicted.",
     "hypura_experts_guessed_total",
     {},
     true,
     true},
    {"experts_guessed_right",
     &E::experts_predicted_correct,
     "experts",
     "The older name of experts_predicted_correct.",
     "hypura_experts_guessed_right_total",
     {},
     true,
     true},
    {"experts_guessed_among",
     &E::experts_predictable,
     "experts",
     "The older name of experts_predictable.",
     "hypura_experts_guessed_among_total",
     {},
     true,
     true},
    {"experts_warmed", &E::experts_warmed, "experts", "Experts read after loading because earlier runs used them.",
     "hypura_experts_warmed_total"},
    {"warm_bytes", &E::warm_bytes, "bytes", "Bytes of those experts.", kReadBytes, "warm_start"},
    {"table_rows", &E::table_rows, "rows", "Rows of tables looked up, where these are read row by row.",
     "hypura_table_rows_total"},
    {"table_rows_read", &E::table_rows_read, "rows", "Of those, read from disk.", "hypura_table_rows_read_total"},
    {"gpu_expert_lookups", &E::gpu_expert_lookups, "experts", "Experts looked up in VRAM, in decode passes.",
     "hypura_gpu_expert_lookups_total"},
    {"gpu_expert_hits", &E::gpu_expert_hits, "experts", "Of those, in VRAM when requested.",
     "hypura_gpu_expert_hits_total"},
    {"gpu_experts_copied_ahead", &E::gpu_experts_copied_ahead, "experts",
     "Experts copied from RAM to VRAM on a prediction.", "hypura_gpu_experts_copied_ahead_total"},
    {"gpu_experts_used_ahead", &E::gpu_experts_used_ahead, "experts", "Of those, used by the layer.",
     "hypura_gpu_experts_used_ahead_total"},
    {"cpu_experts", &E::cpu_experts, "experts", "Of those missed in VRAM, computed by the processors.",
     "hypura_cpu_experts_total"},
    {"gpu_upload_bytes", &E::gpu_upload_bytes, "bytes", "Bytes of experts copied from RAM to VRAM.",
     "hypura_gpu_upload_bytes_total"},
    {"gpu_download_bytes", &E::gpu_download_bytes, "bytes", "Bytes of evicted experts copied from VRAM to RAM.",
     "hypura_gpu_download_bytes_total"},
    {"gpu_demoted_experts", &E::gpu_demoted_experts, "experts", "Those experts.", "hypura_gpu_demoted_experts_total"},
    {"gpu_staged_layers", &E::gpu_staged_layers, "layers", "Layers brought to the GPU whole, once for each pass.",
     "hypura_gpu_staged_layers_total"},
    {"gpu_seeded_experts", &E::gpu_seeded_experts, "experts", "Experts that slots in VRAM got from such layers.",
     "hypura_gpu_seeded_experts_total"},
    {"gpu_choice_wait_seconds", &E::gpu_choice_wait_seconds, "seconds",
     "Time waited for the GPU to compute up to a router's choice.", "hypura_gpu_choice_wait_seconds_total"},
    {"gpu_copy_wait_seconds", &E::gpu_copy_wait_seconds, "seconds",
     "Time waited for copies between RAM and VRAM to end.", "hypura_gpu_copy_wait_seconds_total"},
    {"gpu_link_busy_seconds", &E::gpu_link_busy_seconds, "seconds",
     "Time that copies of experts to VRAM take at least, by the measured speed of the link; 0 where it was not "
     "measured.",
     "hypura_gpu_link_busy_seconds_total"},
    {"io_wait_seconds", &E::io_wait_seconds, "seconds", "Time that computation waited for a read.",
     "hypura_io_wait_seconds_total"},
    {"stream_compute_seconds", &E::stream_compute_seconds, "seconds", "Time computing with streamed or cached weights.",
     "hypura_stream_compute_seconds_total"},
    {"stream_kernel_seconds", &E::stream_kernel_seconds, "seconds", "Of that, inside ggml's kernels."},
    {"disk_busy_seconds", &E::disk_busy_seconds, "seconds",
     "The most that the disk was busy: time that at least one read was not known to have ended.",
     "hypura_disk_busy_seconds_total"},
    {"kv_host_entries",
     &E::kv_host_entries,
     "entries",
     "Entries of keys and values beyond the context, in RAM.",
     "hypura_kv_host_entries",
     {},
     false},
    {"kv_host_bytes", &E::kv_host_bytes, "bytes", "Bytes of these.", "hypura_kv_host_bytes", {}, false},
    {"kv_disk_entries",
     &E::kv_disk_entries,
     "entries",
     "Entries of keys and values of this model on disk.",
     "hypura_kv_disk_entries",
     {},
     false},
    {"kv_disk_bytes", &E::kv_disk_bytes, "bytes", "Bytes of these.", "hypura_kv_disk_bytes", {}, false},
    {"kv_entries_fetched", &E::kv_entries_fetched, "entries", "Entries fetched into the context from RAM or disk.",
     "hypura_kv_entries_fetched_total"},
    {"kv_restored_tokens", &E::kv_restored_tokens, "tokens", "Tokens of these, which were not computed again.",
     "hypura_kv_restored_tokens_total"},
    {"kv_read_bytes", &E::kv_read_bytes, "bytes", "Bytes of entries read from disk.", "hypura_kv_read_bytes_total"},
    {"kv_written_bytes", &E::kv_written_bytes, "bytes", "Bytes of entries written to disk.",
     "hypura_kv_written_bytes_total"},
    {"memory_peak", &E::memory_peak, "bytes", "Peak memory of the process.", "hypura_memory_peak_bytes", {}, false},
    {"memory_limit",
     &E::memory_limit,
     "bytes",
     "Memory that the model may have now.",
     "hypura_memory_limit_bytes",
     {},
     false},
    {"memory_given_back_bytes", &E::memory_given_back_bytes, "bytes", "Memory of caches given back to the system.",
     "hypura_memory_given_back_bytes_total"},
    {"memory_shrunk", &E::memory_shrunk, "times", "Times that the model was given less memory.",
     "hypura_memory_shrunk_times_total"},
    {"memory_grown", &E::memory_grown, "times", "Times that the model was given more memory again.",
     "hypura_memory_grown_times_total"},
};

using G = GpuCounters;

constexpr Counter<G> kGpuCounters[] = {
    {"expert_lookups", &G::expert_lookups, "experts", "Experts looked up in the GPU's memory, in decode passes.",
     "hypura_gpu_device_expert_lookups_total"},
    {"expert_hits", &G::expert_hits, "experts", "Of those, there when requested.",
     "hypura_gpu_device_expert_hits_total"},
    {"experts_copied_ahead", &G::experts_copied_ahead, "experts", "Experts copied to the GPU on a prediction.",
     "hypura_gpu_device_experts_copied_ahead_total"},
    {"experts_used_ahead", &G::experts_used_ahead, "experts", "Of those, used by the layer.",
     "hypura_gpu_device_experts_used_ahead_total"},
    {"cpu_experts", &G::cpu_experts, "experts", "Of those missed there, computed by the processors.",
     "hypura_gpu_device_cpu_experts_total"},
    {"upload_bytes", &G::upload_bytes, "bytes", "Bytes of experts copied from RAM to the GPU.",
     "hypura_gpu_device_upload_bytes_total"},
    {"download_bytes", &G::download_bytes, "bytes", "Bytes of evicted experts copied from the GPU to RAM.",
     "hypura_gpu_device_download_bytes_total"},
    {"staged_layers", &G::staged_layers, "layers", "Layers brought to the GPU whole, once for each pass.",
     "hypura_gpu_device_staged_layers_total"},
    {"seeded_experts", &G::seeded_experts, "experts", "Experts that its slots got from such layers.",
     "hypura_gpu_device_seeded_experts_total"},
    {"choice_wait_seconds", &G::choice_wait_seconds, "seconds",
     "Time waited for the GPU to compute up to a router's choice.", "hypura_gpu_device_choice_wait_seconds_total"},
    {"copy_wait_seconds", &G::copy_wait_seconds, "seconds", "Time waited for copies between RAM and the GPU to end.",
     "hypura_gpu_device_copy_wait_seconds_total"},
    {"link_busy_seconds", &G::link_busy_seconds, "seconds",
     "Time that copies of experts to it take at least, by the measured speed of the link; 0 where it was not measured.",
     "hypura_gpu_device_link_busy_seconds_total"},
};

using W = WorkerCounters;

constexpr Counter<W> kWorkerCounters[] = {
    {"joined", &W::joined, "workers", "1: the worker is there.", "hypura_worker_joined", {}, false},
    {"asks", &W::asks, "asks",
     "Layers that the worker was asked for and computed some experts of, or passes of whole layers: round trips.",
     "hypura_worker_asks_total"},
    {"experts", &W::experts, "experts", "Experts that the worker computed, in decode passes.",
     "hypura_worker_experts_total"},
    {"expert_hits", &W::expert_hits, "experts", "Of those, in its memory when asked for.",
     "hypura_worker_expert_hits_total"},
    {"rows", &W::rows, "rows",
     "Rows of results that it computed: one for each token and expert, or for each token of whole layers.",
     "hypura_worker_rows_total"},
    {"rows_done_here", &W::rows_done_here, "rows", "Rows that it was asked for and this machine computed instead.",
     "hypura_worker_rows_done_here_total"},
    {"losses", &W::losses, "losses", "Times that the worker was lost.", "hypura_worker_losses_total"},
    {"read_bytes", &W::read_bytes, "bytes", "Bytes that it read from its disk for what it was asked.",
     "hypura_worker_read_bytes_total"},
    {"sent_bytes", &W::sent_bytes, "bytes", "Bytes sent to the worker.", "hypura_worker_sent_bytes_total"},
    {"received_bytes", &W::received_bytes, "bytes", "Bytes received from the worker.",
     "hypura_worker_received_bytes_total"},
    {"wait_seconds", &W::wait_seconds, "seconds", "Time that computation here waited for the worker.",
     "hypura_worker_wait_seconds_total"},
};

constexpr Counter<S> kGeneratorCounters[] = {
    {"running", &S::running, "answers", "Answers being generated.", "hypura_answers_running", {}, false},
    {"waiting",
     &S::waiting,
     "answers",
     "Of those, waiting for cells of the KV cache, or for another to evaluate the beginning of their prompts.",
     "hypura_answers_waiting",
     {},
     false},
    {"parked", &S::parked, "answers", "Times that an answer made room for an older one, and went on later.",
     "hypura_answers_parked_total"},
    {"queued", &S::queued, "answers", "Answers in the queue.", "hypura_answers_queued", {}, false},
    {"parallel", &S::parallel, "answers", "Answers that can run at once.", "hypura_answers_parallel", {}, false},
    {"context_used",
     &S::context_used,
     "tokens",
     "Cells of the KV cache in use.",
     "hypura_context_used_tokens",
     {},
     false},
    {"context_size",
     &S::context_size,
     "tokens",
     "Cells of the KV cache, which all answers share.",
     "hypura_context_size_tokens",
     {},
     false},
    {"context_shared",
     &S::context_shared,
     "tokens",
     "Tokens in the KV cache that need no cell, since another sequence holds them.",
     "hypura_context_shared_tokens",
     {},
     false},
    {"passes", &S::passes, "passes", "Passes over the model's weights.", "hypura_passes_total"},
    {"batched_tokens", &S::batched_tokens, "tokens", "Tokens in all passes.", "hypura_pass_tokens_total"},
    {"answers", &S::answers, "answers", "Answers that have ended."},
    {"cancelled", &S::cancelled, "answers", "Of those, cancelled."},
    {"prompt_tokens", &S::prompt_tokens, "tokens", "Prompt tokens of all answers."},
    {"cached_tokens", &S::cached_tokens, "tokens", "Of those, already in the KV cache."},
};

}  // namespace

std::span<const Counter<EngineStats>> engine_counters() {
  return kEngineCounters;
}

std::span<const Counter<GpuCounters>> gpu_counters() {
  return kGpuCounters;
}

std::span<const Counter<WorkerCounters>> worker_counters() {
  return kWorkerCounters;
}

std::span<const Counter<GeneratorStats>> generator_counters() {
  return kGeneratorCounters;
}

EngineStats EngineStats::since(const EngineStats& earlier) const {
  EngineStats difference = *this;
  for (const Counter<EngineStats>& counter : engine_counters()) {
    if (counter.sum && !counter.older_name) {
      std::visit([&](auto field) { difference.*field -= earlier.*field; }, counter.field);
    }
  }
  for (size_t i = 0; i < std::min(copy_bytes.size(), earlier.copy_bytes.size()); ++i) {
    difference.copy_bytes[i] -= earlier.copy_bytes[i];
  }
  for (size_t i = 0; i < std::min(gpus.size(), earlier.gpus.size()); ++i) {
    for (const Counter<GpuCounters>& counter : gpu_counters()) {
      std::visit([&](auto field) { difference.gpus[i].*field -= earlier.gpus[i].*field; }, counter.field);
    }
  }
  for (size_t i = 0; i < std::min(workers.size(), earlier.workers.size()); ++i) {
    for (const Counter<WorkerCounters>& counter : worker_counters()) {
      if (counter.sum) {
        std::visit([&](auto field) { difference.workers[i].*field -= earlier.workers[i].*field; }, counter.field);
      }
    }
  }
  return difference;
}

}  // namespace hypura
