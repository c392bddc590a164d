// What one measured run is told, and what it tells back: the protocol between a benchmark and its child processes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

// One run in a fresh process.
struct RunSpec {
  // "plain" or "hypura"; or "splits": nothing runs, and the result is find_plain_splits() (bench/run/plain_splits.h).
  std::string engine;
  std::string model;
  uint64_t memory = 0;               // bytes of hypura's budget; 0: what the engine chooses by itself
  std::string gpu = "auto";          // hypura: see EngineOptions; plain: names likewise, or none ("auto" is none to it)
  std::vector<uint64_t> gpu_shares;  // plain: of each of several, as PlainGpu
  std::string watched_gpu;  // of whose memory RunResult::device_bytes is; empty: of `gpu`, where that is a name
  uint64_t vram = 0;        // bytes; 0: what the engine chooses by itself
  std::vector<uint64_t> vram_each = {};  // hypura: see EngineOptions
  bool mixed_compute = false;            // the same
  bool repack = true;                    // plain: see PlainLlamaOptions
  uint32_t threads = 1;
  uint32_t context = 1024;
  uint32_t ubatch = 0;          // tokens of a pass; 0: as planned (hypura), as llama.cpp's default (plain)
  bool repack_streamed = true;  // hypura: EngineOptions::repack
  bool repacked = true;         // hypura: EngineOptions::repacked
  // hypura: see PlanOverrides
  std::string mode;                // as parse_mode takes it; empty: any
  int64_t ring_ahead = -1;         // -1: as planned
  int64_t cached_experts = -1;     // -1: as planned
  std::string read_ahead;          // as parse_read_ahead takes it; empty: as it pays
  int32_t gpu_layers = -1;         // plain: as PlainLlamaOptions; hypura: as GpuLayers, -1: as planned
  uint32_t cpu_expert_layers = 0;  // plain: as PlainLlamaOptions
  bool lazy_tables = false;        // the same
  // Another prompt of the same length comes first, and `warmup_tokens` behind it, as in a server: caches and kernels
  // are warm.
  bool warm_prompt = false;
  uint32_t prompt_tokens = 16;
  uint32_t warmup_tokens = 4;  // decoded first and not counted
  uint32_t tokens = 32;        // decoded and counted
  bool as_answer = false;    // not served: the tokens come as an answer's do, sampled; so they do where drafts are made
  bool predict = false;      // hypura: also say, before the model is opened, what the plan expects
  bool run_history = false;  // hypura: leave behind what later predictions learn from (EngineOptions::run_history)
  uint32_t answers = 0;      // hypura: answers served at once, see measure_serving(); 0: one session, not served
  uint32_t turns = 1;        // of a served conversation
  std::string sentence;      // not served: the prompt is this, again and again; empty: words by chance
  uint32_t text = 0;         // which words by chance
  // Not served: what is decoded are words by chance too, whatever the model would choose. What models with random
  // weights choose goes round in circles, and few experts are used then.
  bool teacher_forced = false;
  // hypura: see DraftOptions
  std::string draft;
  bool keep_draft_model = false;  // as PlanOverrides
  bool draft_ngrams = false;
  bool draft_mtp = false;
  uint32_t draft_tokens = 0;
  std::vector<std::string> mirrors;  // hypura: see EngineOptions
  std::vector<std::string> workers;  // the same
  std::string split = "auto";        // as parse_worker_split takes it
  bool trust_network = false;

  bool names_gpu() const { return gpu != "auto" && gpu != "none"; }
  bool drafts() const { return draft_ngrams || draft_mtp || !draft.empty(); }
};

// Where the seconds of a phase went, as the engine counted them. The parts add up to the phase's seconds; all are 0 for
// plain llama.cpp, which does not count.
struct TimeSplit {
  double io_wait = 0;   // computation waited for a read
  double streamed = 0;  // kernels whose weights are streamed or cached: experts, and dense matrices where they are
  double other = 0;     // the rest of the passes: attention, norms, resident weights
  double overhead = 0;  // bookkeeping of the streaming, and what happens between passes

  double sum() const { return io_wait + streamed + other + overhead; }
};

// The split of a phase of `seconds` on the wall clock in which the engine counted `difference`.
TimeSplit split_of(const EngineStats& difference, double seconds);

// Seconds on the wall clock; bytes as the kernel counted them for the process.
struct PhaseCost {
  uint64_t tokens = 0;
  double seconds = 0;
  uint64_t bytes = 0;
  TimeSplit split = {};
  double disk_busy_seconds = 0;  // at least one read of the engine's was in flight

  double tokens_per_second() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
  double bytes_per_token() const { return tokens > 0 ? static_cast<double>(bytes) / static_cast<double>(tokens) : 0; }
};

// One way in which plain llama.cpp divides a model between a GPU and the processors.
struct PlainSplit {
  std::string flags;               // llama.cpp's: "-ngl 13", "--cpu-moe", "--n-cpu-moe 12"; or "all in VRAM"
  int32_t gpu_layers = -1;         // as PlainLlamaOptions
  uint32_t cpu_expert_layers = 0;  // the same
};

// Those that are best under caps of GPUs' memory.
struct PlainSplits {
  std::string gpu;                 // ggml's names of the devices, separated by commas; empty: none is used
  bool own_memory = false;         // they have memory that is not the machine's
  std::vector<uint64_t> vram;      // of each, bytes of its memory for the model, without what its driver takes
  std::vector<PlainSplit> splits;  // that fit; empty: none does
};

// What the plan expected of a run, told before the model was opened.
struct PredictedRun {
  bool known = false;  // false: this build has no plan to ask, or it failed (`remark`)
  double decode_tokens_per_second = 0;
  double prefill512_seconds = 0;
  double load_seconds = 0;
  double bytes_per_token = 0;
  double hit_rate = -1;  // 0..1; -1 for a model without experts
  std::string hit_rate_source;
  double gpu_hit_rate = -1;  // found on the GPU; -1 where none computes or all lie there
  // Of a token, where a GPU computes: as DevicePlan.
  double upload_bytes_per_token = 0;
  double compute_seconds = 0;
  double upload_seconds = 0;
  double cut_seconds = 0;
  double disk_seconds = 0;
  double bound_tokens_per_second = 0;  // by the speeds in the machine's profile
  std::string bound_by;                // "disk", "upload" or "computing"
  uint64_t memory_peak = 0;            // bytes of the process
  std::string remark;
};

struct RunResult {
  std::string error;   // empty when the run succeeded; the fields below it are then complete
  int error_code = 0;  // an ErrorCode; 0 when there is none, or when the process ended without a word

  PhaseCost load;                  // tokens is 0
  PhaseCost prefill;               // the prompt, up to and with the choice of the first token
  PhaseCost decode;                // warm-up left out; with drafts the tokens of whole passes, a few may be left out
  double first_token_seconds = 0;  // from the start of opening the model; served: of the first turn, from asking for it
  double second_turn_seconds = 0;  // served, with two turns: to the first token of the second
  std::vector<int32_t> chosen;     // every token that was chosen, to compare the two engines

  // hypura only, counted by the engine over the whole of `decode`.
  uint64_t expert_lookups = 0;
  uint64_t expert_hits = 0;
  uint64_t gpu_expert_lookups = 0;
  uint64_t gpu_expert_hits = 0;  // of expert_hits
  uint64_t cpu_experts = 0;
  uint64_t gpu_upload_bytes = 0;
  uint64_t gpu_download_bytes = 0;
  double io_wait_seconds = 0;
  uint64_t streamed_bytes = 0;  // by the engine's own count, to hold against decode.bytes
  uint64_t drafted_tokens = 0;  // verified, accepted or not
  uint64_t accepted_draft_tokens = 0;
  uint64_t resident_bytes = 0;  // weights that stay in memory while streaming
  std::string mode;             // as parse_mode takes it; empty: any
  std::string plan;
  std::string plan_key;  // equal for equal plans: mode, size of passes, every line of the ledger
  PredictedRun predicted;

  PlainSplits plain_splits;  // of "splits" alone

  uint64_t process_peak = 0;  // bytes resident at most
  uint64_t device_bytes = 0;  // of a GPU's memory that the run took, at its end: nothing is given back before

  // Added by the parent.
  uint64_t group_peak = 0;  // bytes charged to the memory cgroup at most, page cache included; 0 without a cgroup
  bool out_of_memory = false;
};

std::string to_json_line(const RunSpec& spec);
std::string to_json_line(const RunResult& result);

// Fails with kInternal on text that is not what to_json_line gives.
Result<RunSpec> spec_from_json(const std::string& text);
Result<RunResult> result_from_json(const std::string& text);

}  // namespace hypura
