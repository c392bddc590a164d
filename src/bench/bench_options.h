// What `hypura bench` measures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hypura/engine.h"

namespace hypura {

// What `hypura bench` was asked for.
struct BenchOptions {
  std::filesystem::path model;  // empty: the demo model
  bool baseline = false;
  uint32_t prompt_tokens = 512;
  uint32_t tokens = 64;
  std::optional<uint64_t> memory;   // bytes; none: what the machine allows
  std::string gpu = "auto";         // as EngineOptions, of hypura's runs
  std::optional<uint64_t> vram;     // the same
  std::vector<uint64_t> vram_each;  // the same
  bool mixed_compute = false;       // the same
  uint32_t repeat = 3;
  uint32_t context = 0;                        // 0: what prompt and answer need
  uint32_t threads = 0;                        // 0: the cores this process may use
  DraftOptions draft;                          // of hypura's runs, not of the baseline's
  std::vector<std::filesystem::path> mirrors;  // the same
  std::vector<std::string> workers;            // as EngineOptions, of hypura's runs
  WorkerSplit split = WorkerSplit::kAuto;      // the same
  bool trust_network = false;                  // the same
  std::optional<std::filesystem::path> json;
  std::optional<std::filesystem::path> plot;  // ends in .svg or .png
  bool force = false;
  std::optional<std::filesystem::path> replay;  // a routing trace: nothing is measured then
  std::vector<uint32_t> slots;                  // for the replay; empty: shares of all experts
};

// Tokens that are decoded before those that count, so that caches are full and the order of use is known.
inline constexpr uint32_t kBenchWarmupTokens = 8;

// Tokens of context the runs need, and those they get when --context is left out: rounded up to a multiple of 256, at
// least 1024.
uint32_t needed_context(const BenchOptions& options);
uint32_t bench_context(const BenchOptions& options);

}  // namespace hypura
