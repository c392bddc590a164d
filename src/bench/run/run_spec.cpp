#include "bench/run/run_spec.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "support/fail.h"

namespace hypura {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunSpec, engine, model, memory, gpu, gpu_shares, watched_gpu, vram, vram_each,
                                   mixed_compute, repack, repack_streamed, threads, context, ubatch, mode, ring_ahead,
                                   cached_experts, read_ahead, prompt_tokens, warmup_tokens, tokens, as_answer, predict,
                                   run_history, repacked, answers, turns, sentence, draft, keep_draft_model,
                                   draft_ngrams, draft_mtp, draft_tokens, mirrors, workers, split, trust_network,
                                   gpu_layers, cpu_expert_layers, warm_prompt, lazy_tables, text, teacher_forced)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TimeSplit, io_wait, streamed, other, overhead)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PhaseCost, tokens, seconds, bytes, split, disk_busy_seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PlainSplit, flags, gpu_layers, cpu_expert_layers)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PlainSplits, gpu, own_memory, vram, splits)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PredictedRun, known, decode_tokens_per_second, prefill512_seconds, load_seconds,
                                   bytes_per_token, hit_rate, hit_rate_source, gpu_hit_rate, upload_bytes_per_token,
                                   compute_seconds, upload_seconds, cut_seconds, disk_seconds, bound_tokens_per_second,
                                   bound_by, memory_peak, remark)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunResult, error, error_code, load, prefill, decode, first_token_seconds,
                                   second_turn_seconds, chosen, expert_lookups, expert_hits, gpu_expert_lookups,
                                   gpu_expert_hits, cpu_experts, gpu_upload_bytes, gpu_download_bytes, io_wait_seconds,
                                   streamed_bytes, drafted_tokens, accepted_draft_tokens, resident_bytes, mode, plan,
                                   plan_key, predicted, plain_splits, process_peak, device_bytes, group_peak,
                                   out_of_memory)

namespace {

template <class T>
std::string dump(const T& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class T>
Result<T> parse(const std::string& text, const char* what) {
  try {
    return nlohmann::json::parse(text).get<T>();
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::kInternal, "cannot parse the {} of a measuring process: {}", what, error.what());
  }
}

}  // namespace

TimeSplit split_of(const EngineStats& difference, double seconds) {
  const double passes = difference.prompt_seconds + difference.decode_seconds;
  if (passes <= 0) {
    return {};
  }
  TimeSplit split;
  split.io_wait = difference.io_wait_seconds;
  split.streamed = difference.stream_kernel_seconds;
  split.other = std::max(0.0, passes - difference.io_wait_seconds - difference.stream_compute_seconds);
  split.overhead = std::max(0.0, seconds - split.io_wait - split.streamed - split.other);
  return split;
}

std::string to_json_line(const RunSpec& spec) {
  return dump(spec);
}
std::string to_json_line(const RunResult& result) {
  return dump(result);
}

Result<RunSpec> spec_from_json(const std::string& text) {
  return parse<RunSpec>(text, "run's description").and_then([](RunSpec spec) -> Result<RunSpec> {
    if (const auto mode = parse_mode(spec.mode); !mode && !spec.mode.empty()) {
      return propagate(mode.error());
    }
    if (const auto way = parse_read_ahead(spec.read_ahead); !way && !spec.read_ahead.empty()) {
      return propagate(way.error());
    }
    if (const auto split = parse_worker_split(spec.split); !split) {
      return propagate(split.error());
    }
    return spec;
  });
}
Result<RunResult> result_from_json(const std::string& text) {
  return parse<RunResult>(text, "run's result");
}

}  // namespace hypura
