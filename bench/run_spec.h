// What one measured run is told, and what it tells back: the protocol between hypura-bench and its child processes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura::bench {

// One run in a fresh process. Zero `memory` means: no budget, everything resident.
struct RunSpec {
  std::string engine;  // "plain" or "hypura"
  std::string model;
  uint64_t memory = 0;  // bytes of the budget
  uint32_t threads = 1;
  uint32_t context = 1024;
  uint32_t prompt_tokens = 16;
  uint32_t warmup_tokens = 4;  // decoded first and not counted
  uint32_t tokens = 32;        // decoded and counted
};

// Seconds on the wall clock; bytes as the kernel counted them for the process (/proc/self/io, read_bytes).
struct PhaseCost {
  uint64_t tokens = 0;
  double seconds = 0;
  uint64_t bytes = 0;

  double tokens_per_second() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
  double bytes_per_token() const { return tokens > 0 ? static_cast<double>(bytes) / static_cast<double>(tokens) : 0; }
};

struct RunResult {
  std::string error;  // empty when the run succeeded; the fields below it are then complete

  PhaseCost load;                  // tokens is 0
  PhaseCost prefill;               // the prompt, up to and with the choice of the first token
  PhaseCost decode;                // warm-up left out
  double first_token_seconds = 0;  // from the start of opening the model
  std::vector<int32_t> chosen;     // every token that was chosen, to compare the two engines

  // hypura only, counted by the engine over the whole of `decode`.
  uint64_t expert_lookups = 0;
  uint64_t expert_hits = 0;
  double io_wait_seconds = 0;
  uint64_t streamed_bytes = 0;  // by the engine's own count, to hold against decode.bytes
  uint64_t resident_bytes = 0;  // weights that stay in memory while streaming
  std::string mode;
  std::string plan;

  uint64_t process_peak = 0;  // bytes resident at most (VmHWM)

  // Added by the parent.
  uint64_t group_peak = 0;  // bytes charged to the memory cgroup at most, page cache included; 0 without a cgroup
  bool out_of_memory = false;
};

std::string to_json_line(const RunSpec& spec);
std::string to_json_line(const RunResult& result);

// Fails with kInternal on text that is not what to_json_line gives.
Result<RunSpec> spec_from_json(const std::string& text);
Result<RunResult> result_from_json(const std::string& text);

}  // namespace hypura::bench
