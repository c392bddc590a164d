#include "generate/engine/counters.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace hypura {
namespace {

// The bytes of a table's fields; a field that is there twice counts once.
template <class Stats>
size_t bytes_of_fields(std::span<const Counter<Stats>> counters) {
  const Stats stats;
  std::set<const void*> seen;
  size_t bytes = 0;
  for (const Counter<Stats>& counter : counters) {
    bytes +=
        std::visit([&](auto field) { return seen.insert(&(stats.*field)).second ? sizeof(stats.*field) : size_t{0}; },
                   counter.field);
  }
  return bytes;
}

TEST(Counters, HaveEveryFieldOfTheEngines) {
  EXPECT_EQ(bytes_of_fields(engine_counters()) + sizeof(EngineStats::copy_bytes) + sizeof(EngineStats::gpus) +
                sizeof(EngineStats::workers),
            sizeof(EngineStats));
  EXPECT_EQ(bytes_of_fields(gpu_counters()) + sizeof(GpuCounters::name), sizeof(GpuCounters));
  EXPECT_EQ(bytes_of_fields(worker_counters()) + sizeof(WorkerCounters::name), sizeof(WorkerCounters));
}

TEST(Counters, HaveEveryFieldOfTheGenerator) {
  // It does not compile when the number of fields is another. They may leave room behind them, which sizes would not
  // tell.
  const auto& [engine, a, b, c, d, e, f, g, h, i, j, k, l, m, n] = GeneratorStats();
  EXPECT_EQ(generator_counters().size(), 14U);
  EXPECT_EQ(bytes_of_fields(generator_counters()), sizeof a + sizeof b + sizeof c + sizeof d + sizeof e + sizeof f +
                                                       sizeof g + sizeof h + sizeof i + sizeof j + sizeof k + sizeof l +
                                                       sizeof m + sizeof n);
  EXPECT_EQ(sizeof engine, sizeof(EngineStats));
}

template <class Stats>
void expect_well_described(std::span<const Counter<Stats>> counters) {
  std::set<std::string_view> names;
  std::set<std::string> metrics;
  for (const Counter<Stats>& counter : counters) {
    EXPECT_TRUE(names.insert(counter.name).second) << counter.name;
    EXPECT_TRUE(counter.help.ends_with('.')) << counter.name;
    if (counter.metric.empty()) {
      EXPECT_TRUE(counter.phase.empty()) << counter.name;
      continue;
    }
    EXPECT_TRUE(metrics.insert(std::string(counter.metric) + std::string(counter.phase)).second) << counter.metric;
    // Without the end of the plural, since names have both.
    EXPECT_NE(counter.metric.find(counter.unit.substr(0, counter.unit.size() - 2)), std::string_view::npos)
        << counter.metric << " is in " << counter.unit;
    EXPECT_TRUE(counter.sum || !counter.metric.ends_with("_total")) << counter.metric;
  }
}

TEST(Counters, AreEachDescribed) {
  expect_well_described(engine_counters());
  expect_well_described(gpu_counters());
  expect_well_described(worker_counters());
  expect_well_described(generator_counters());
}

TEST(Counters, ADifferenceHasWhatWasAddedAndTheLatestPeak) {
  EngineStats earlier;
  EngineStats later;
  uint64_t n = 1;
  for (const Counter<EngineStats>& counter : engine_counters()) {
    if (counter.older_name) {
      continue;
    }
    std::visit(
        [&](auto field) {
          using Number = std::remove_cvref_t<decltype(later.*field)>;
          earlier.*field = static_cast<Number>(n);
          later.*field = static_cast<Number>(3 * n);
        },
        counter.field);
    ++n;
  }
  const EngineStats difference = later.since(earlier);
  n = 1;
  for (const Counter<EngineStats>& counter : engine_counters()) {
    if (counter.older_name) {
      continue;
    }
    with_number(counter, difference, [&](auto number) {
      EXPECT_EQ(static_cast<uint64_t>(number), counter.sum ? 2 * n : 3 * n) << counter.name;
    });
    ++n;
  }
}

TEST(Counters, ADifferenceIsOfEachGpu) {
  EngineStats earlier;
  EngineStats later;
  earlier.gpus = {{"CUDA0", 20, 15}, {"CUDA1", 8, 4}};
  later.gpus = {{"CUDA0", 25, 16}, {"CUDA1", 80, 40}};
  const EngineStats difference = later.since(earlier);
  ASSERT_EQ(difference.gpus.size(), 2U);
  EXPECT_EQ(difference.gpus[0].name, "CUDA0");
  EXPECT_EQ(difference.gpus[0].expert_lookups, 5U);
  EXPECT_EQ(difference.gpus[0].expert_hits, 1U);
  EXPECT_EQ(difference.gpus[1].expert_lookups, 72U);
  EXPECT_EQ(difference.gpus[1].expert_hits, 36U);
}

}  // namespace
}  // namespace hypura
