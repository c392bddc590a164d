#include "backend/gpu/speed/repeated_runs.h"

#include <algorithm>
#include <chrono>

#include "backend/speed/compute_bench.h"

namespace hypura {

namespace {

// Runs until a device does what it does from then on: kernels are loaded by the first, and recorded when a graph came
// twice the same. Where the second is slow still, nothing of that kind counts.
constexpr int kWarmRuns = 3;
constexpr double kSlowRun = 0.05;  // seconds
// Of a device that is not slow: a neighbour may have disturbed one.
constexpr size_t kFewestSamples = 5;
// Seconds of a sample, so that neither what a clock is off by nor asking it counts; reached by that many runs at most.
constexpr double kLeastSample = 2e-5;
constexpr int kMostTogether = 64;
constexpr size_t kMostSamples = 1 << 14;  // more than any device makes in the time that is asked for

double seconds_of_runs(const RunClock& clock, int runs, const std::function<void()>& run) {
  const double begin = clock();
  for (int i = 0; i < runs; ++i) {
    run();
  }
  return clock() - begin;
}

}  // namespace

RunClock steady_run_clock() {
  return [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
}

double seconds_of_run(const RunClock& clock, double seconds, const std::function<void()>& run) {
  double last = 0;
  for (int i = 0; i < kWarmRuns && (i < 2 || last < kSlowRun); ++i) {
    last = seconds_of_runs(clock, 1, run);
  }
  Times samples;
  int together = 1;
  if (last >= kSlowRun) {
    samples.push_back(last);
  }
  while (last < kLeastSample && together < kMostTogether) {
    together *= 2;
    last = seconds_of_runs(clock, together, run);
  }
  const double start = clock();
  const auto wants_more = [&] {
    return samples.empty() || clock() - start + samples.back() < seconds ||
           (samples.size() < kFewestSamples && samples.back() < kSlowRun);
  };
  while (samples.size() < kMostSamples && wants_more()) {
    samples.push_back(seconds_of_runs(clock, together, run));
  }
  return std::max(kShortestRun, median(samples) / together);
}

double beyond(double run, double part) {
  return std::max(run - part, run / 4);
}

}  // namespace hypura
