// What each counter is called and means, once: differences, JSON and metrics are made from these tables.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "hypura/generator.h"

namespace hypura {

// One field of EngineStats, GpuCounters, WorkerCounters or GeneratorStats.
template <class Stats>
struct Counter {
  std::string_view name;  // as the field, and in JSON
  std::variant<uint64_t Stats::*, uint32_t Stats::*, double Stats::*> field;
  std::string_view unit;
  std::string_view help;         // one sentence
  std::string_view metric = {};  // of Prometheus, in which "_total" ends the names of sums; empty: none of its own
  std::string_view phase = {};   // with hypura_read_bytes_total, which several counters share: what was read for
  bool sum = true;               // false: how much it is now, or at most was, of which there is no difference
  bool older_name = false;       // of a field that has a row of its own
};

// All fields but copy_bytes, which has one number for each copy of the model, gpus and workers.
std::span<const Counter<EngineStats>> engine_counters();

// Of one of `gpus`: all fields but the name.
std::span<const Counter<GpuCounters>> gpu_counters();

// Of one of `workers`: all fields but the name.
std::span<const Counter<WorkerCounters>> worker_counters();

// All fields but `engine`.
std::span<const Counter<GeneratorStats>> generator_counters();

// Calls `use` with the number that `counter` has in `stats`.
template <class Stats, class Use>
decltype(auto) with_number(const Counter<Stats>& counter, const Stats& stats, Use use) {
  return std::visit([&](auto field) { return use(stats.*field); }, counter.field);
}

}  // namespace hypura
