// `hypura bench --replay FILE`: what caches of experts of other sizes and policies would have hit, and what prefetching
// predicted experts would have been worth beside them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "hypura/routing.h"
#include "residency/replay/prediction_replay.h"
#include "residency/replay/replay.h"

namespace hypura {

struct ReplayOptions {
  std::filesystem::path trace;
  std::vector<uint32_t> slots;  // for all layers together, spare ones included; empty: shares of all experts
  std::optional<std::filesystem::path> json;  // also write the results there
};

// What one predictor of the next layer's experts would have been worth.
struct PredictorRow {
  const char* predictor = "";
  PredictionResult result;
};

// The policies at one number of slots.
struct ReplayRow {
  uint32_t slots = 0;
  std::vector<ReplayResult> quotas;       // LRU, LFU, live, Belady: a quota for each layer
  std::vector<ReplayResult> shared;       // LRU, LFU, Belady: one pool for all layers
  std::vector<PredictorRow> predictions;  // beside the live policy; empty for a model of one layer
};

struct ReplayReport {
  uint32_t spare = 0;           // slots kept free between passes: the recording cache's, else a token's experts
  std::vector<ReplayRow> rows;  // ascending slots, each once
  // Of the run that recorded the trace and of its replay with the same slots; none when its slots are not known.
  std::optional<ReplayResult> recorded;
  std::optional<ReplayResult> replayed;
};

// Replays `trace` with each of `slots`; empty: eighths, a quarter, three eighths, half and three quarters of all
// experts, and the recording cache's own number.
ReplayReport replay_report(const RoutingTrace& trace, const std::vector<uint32_t>& slots);

// Tables for people, several lines.
std::string replay_text(const RoutingTrace& trace, const ReplayReport& report);

// One JSON object with the trace's sizes and every result; rates are shares of 1.
std::string replay_json(const RoutingTrace& trace, const ReplayReport& report);

// Reads the trace, prints the tables on standard output, writes the JSON file if one is asked for; gives the exit code.
// Fails as read_routing_trace does, with kUsage when the trace has no decode pass, with kIo when something cannot be
// written.
Result<int> replay_command(const ReplayOptions& options);

}  // namespace hypura
