// Single parts of the engine, timed alone: the bookkeeping of the expert cache and the ring, and the reader's speed.
// HYPURA_BENCH_FILE names a large file for the reader; without it the reader is left out. HYPURA_BENCH_MIRROR names a
// copy of it, read as well.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "residency/expert_cache.h"
#include "residency/weight_ring.h"
#include "storage/reader.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kLayers = 24;
constexpr uint32_t kExperts = 64;
constexpr uint32_t kUsed = 8;

// The experts that each of some tokens uses in a layer: distinct, the popular ones more often.
std::vector<std::vector<uint16_t>> make_routes(size_t count) {
  std::mt19937 random(1);
  std::vector<double> popularity(kExperts);
  for (uint32_t i = 0; i < kExperts; ++i) {
    popularity[i] = 1.0 / (i + 1);
  }
  std::discrete_distribution<int> choose(popularity.begin(), popularity.end());
  std::vector<std::vector<uint16_t>> routes(count);
  for (auto& route : routes) {
    while (route.size() < kUsed) {
      const auto expert = static_cast<uint16_t>(choose(random));
      if (std::find(route.begin(), route.end(), expert) == route.end()) {
        route.push_back(expert);
      }
    }
  }
  return routes;
}

// One MoE layer of one decoded token: look up, take and commit what is missing, release. The argument: per cent of the
// experts that have a slot.
void BM_ExpertCacheLayer(benchmark::State& state) {
  const auto slots = static_cast<uint32_t>(state.range(0)) * kLayers * kExperts / 100;
  ExpertCache cache({kLayers, kExperts, slots, kUsed});
  const auto routes = make_routes(1009);
  size_t step = 0;
  size_t hits = 0;
  while (state.KeepRunning()) {
    const uint32_t layer = static_cast<uint32_t>(step % kLayers);
    const auto& route = routes[step++ % routes.size()];
    cache.begin(layer, {route, kUsed, true});
    for (const uint32_t expert : route) {
      if (cache.lookup(layer, expert)) {
        ++hits;
      } else if (cache.take(layer, expert)) {
        cache.commit(layer, expert);
      } else {
        state.SkipWithError("no slot was free");
        return;
      }
    }
    for (const uint32_t expert : route) {
      cache.release(layer, expert);
    }
  }
  state.counters["hit"] = static_cast<double>(hits) / static_cast<double>(std::max<size_t>(step, 1) * kUsed);
}
BENCHMARK(BM_ExpertCacheLayer)->Arg(25)->Arg(50)->Arg(90);

// One dense tensor passing through the ring: fetched when the ring has space, used, retired.
void BM_WeightRingStep(benchmark::State& state) {
  constexpr uint32_t kItems = 300;
  std::vector<uint64_t> sizes(kItems);
  for (uint32_t i = 0; i < kItems; ++i) {
    sizes[i] = (8 + i % 7 * 4) * kMiB;
  }
  WeightRing ring(sizes, 256 * kMiB);
  uint32_t item = 0;
  while (state.KeepRunning()) {
    while (ring.next_fetch()) {
    }
    if (!ring.holds(item)) {
      state.SkipWithError("the ring lost its turn");
      return;
    }
    ring.retire(item);
    item = (item + 1) % kItems;
  }
}
BENCHMARK(BM_WeightRingStep);

struct AlignedDelete {
  void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t(kDirectAlignment)); }
};

// Direct reads of 64 MiB as one group, from one end of the file to the other and again. Arguments: KiB of a chunk,
// chunks in flight.
void BM_ReaderThroughput(benchmark::State& state, const std::string& file, const std::vector<Mirror>& mirrors) {
  constexpr uint64_t kGroup = 64 * kMiB;
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(file, error);
  if (error || size < kGroup) {
    state.SkipWithError("HYPURA_BENCH_FILE names no file of 64 MiB or more");
    return;
  }
  ReaderOptions options;
  options.chunk_bytes = static_cast<uint64_t>(state.range(0)) * kKiB;
  options.depth = static_cast<uint32_t>(state.range(1));
  auto reader = Reader::open({file}, options, mirrors);
  if (!reader) {
    state.SkipWithError(reader.error().message.c_str());
    return;
  }
  const std::unique_ptr<std::byte[], AlignedDelete> memory(
      static_cast<std::byte*>(::operator new[](kGroup, std::align_val_t(kDirectAlignment))));
  const uint64_t groups = size / kGroup;
  uint64_t step = 0;
  while (state.KeepRunning()) {
    const ReadRequest request = {0, step++ % groups * kGroup, kGroup, memory.get()};
    const Status status = (*reader)->wait((*reader)->submit({&request, 1}, Priority::kDemand));
    if (!status) {
      state.SkipWithError(status.error().message.c_str());
      return;
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(step * kGroup));
  const ReaderStats stats = (*reader)->stats();
  const auto all = static_cast<double>(stats.demand_bytes);
  state.SetLabel((*reader)->description() +
                 (mirrors.empty()
                      ? ""
                      : fmt::format(", {:.0f} % from the copy", 100 * static_cast<double>(stats.copy_bytes[1]) / all)));
}
void register_reader(const std::string& file, const std::vector<Mirror>& mirrors) {
  benchmark::RegisterBenchmark("BM_ReaderThroughput",
                               [=](benchmark::State& state) { BM_ReaderThroughput(state, file, mirrors); })
      ->ArgNames({"chunk_KiB", "depth"})
      ->ArgsProduct({{256, 1024, 4096}, {4, 16, 64}})
      ->UseRealTime()
      ->MinTime(1.0);
}

}  // namespace
}  // namespace hypura

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  if (const char* file = std::getenv("HYPURA_BENCH_FILE"); file != nullptr) {
    const char* copy = std::getenv("HYPURA_BENCH_MIRROR");
    hypura::register_reader(file,
                            copy != nullptr ? std::vector<hypura::Mirror>{{copy}} : std::vector<hypura::Mirror>{});
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
