#include "bench/report/figures.h"

#include <algorithm>
#include <cmath>

namespace hypura {

namespace {

double as_double(uint64_t count) {
  return static_cast<double>(count);
}

ArmFigures arm_figures(const ArmRuns& arm) {
  ArmFigures figures;
  figures.title = arm.arm.title;
  figures.plain = arm.arm.plain();
  figures.decode = spread_over(arm, decode_rate);
  figures.prefill = spread_over(arm, prefill_rate);
  figures.first_token = spread_over(arm, [](const RunResult& run) { return run.first_token_seconds; });
  figures.load = spread_over(arm, [](const RunResult& run) { return run.load.seconds; });
  figures.bytes_per_token = spread_over(arm, [](const RunResult& run) { return run.decode.bytes_per_token(); });
  figures.prompt_bytes = spread_over(arm, [](const RunResult& run) { return as_double(run.prefill.bytes); });
  figures.process_peak = spread_over(arm, [](const RunResult& run) { return as_double(run.process_peak); });
  figures.cgroup_peak = spread_over(arm, [](const RunResult& run) { return as_double(run.group_peak); });
  figures.vram_peak = spread_over(arm, [](const RunResult& run) { return as_double(run.device_bytes); });
  for (std::optional<Spread>* peak : {&figures.cgroup_peak, &figures.vram_peak}) {
    if (*peak && (*peak)->high <= 0) {
      peak->reset();
    }
  }
  for (const RunResult& run : arm.runs) {
    if (!run.error.empty()) {
      figures.failures.push_back(run.error);
    }
  }
  return figures;
}

// By how much hypura is better than the best plain arm; `speed` says whether more is better.
std::optional<double> ratio(const std::vector<ArmFigures>& arms, std::optional<Spread> ArmFigures::*figure,
                            bool speed) {
  std::optional<double> best;
  for (const ArmFigures& arm : arms) {
    if (arm.plain && arm.*figure) {
      const double value = (arm.*figure)->median;
      best = !best ? value : speed ? std::max(*best, value) : std::min(*best, value);
    }
  }
  const std::optional<Spread>& ours = arms.front().*figure;
  if (!best || !ours || *best <= 0 || ours->median <= 0) {
    return std::nullopt;
  }
  return speed ? ours->median / *best : *best / ours->median;
}

// The run whose decoding is nearest to the median: its parts add up, which medians of parts do not.
const RunResult* middle_run(const ArmRuns& arm) {
  const auto good = good_runs(arm);
  const auto median = spread_over(arm, decode_rate);
  const auto nearer = [&](const RunResult* a, const RunResult* b) {
    return std::abs(decode_rate(*a) - median->median) < std::abs(decode_rate(*b) - median->median);
  };
  return good.empty() ? nullptr : *std::min_element(good.begin(), good.end(), nearer);
}

std::optional<TimeSplit> divided(const TimeSplit& split, double by) {
  if (split.sum() <= 0 || by <= 0) {
    return std::nullopt;
  }
  return TimeSplit{split.io_wait / by, split.streamed / by, split.other / by, split.overhead / by};
}

void add_streaming(const ArmRuns& arm, BenchFigures& figures) {
  std::vector<double> hits;
  std::vector<double> gpu_hits;
  std::vector<double> gpu_bytes;
  std::vector<double> rates;
  std::vector<double> busy;
  for (const RunResult* run : good_runs(arm)) {
    if (run->expert_lookups > 0) {
      hits.push_back(as_double(run->expert_hits) / as_double(run->expert_lookups));
    }
    if (run->gpu_expert_lookups > 0 && run->decode.tokens > 0) {
      gpu_hits.push_back(as_double(run->gpu_expert_hits) / as_double(run->gpu_expert_lookups));
      gpu_bytes.push_back(as_double(run->gpu_upload_bytes + run->gpu_download_bytes) / as_double(run->decode.tokens));
    }
    if (run->decode.disk_busy_seconds > 0) {
      rates.push_back(as_double(run->streamed_bytes) / run->decode.disk_busy_seconds);
      busy.push_back(run->decode.disk_busy_seconds / run->decode.seconds);
    }
  }
  figures.hit_rate = spread_of(std::move(hits));
  figures.gpu_hit_rate = spread_of(std::move(gpu_hits));
  figures.gpu_bytes = spread_of(std::move(gpu_bytes));
  figures.disk_rate = spread_of(std::move(rates));
  figures.disk_busy = spread_of(std::move(busy));
}

// Each round is held against the disk as it was in that round: the noise of a shared machine falls out.
std::optional<BoundFigures> bound_of(const Rounds& rounds) {
  std::vector<double> possible;
  std::vector<double> shares;
  std::vector<double> disk;
  bool by_compute = false;
  const std::vector<RunResult>& runs = rounds.arms.front().runs;
  for (size_t i = 0; i < std::min(runs.size(), rounds.disk.size()); ++i) {
    const double bytes = runs[i].decode.bytes_per_token();
    if (!runs[i].error.empty() || bytes <= 0) {
      continue;
    }
    disk.push_back(rounds.disk[i].bytes_per_second);
    const double by_disk = disk.back() / bytes;
    const PredictedRun& said = runs[i].predicted;
    by_compute = said.known && said.bound_by == "computing" && said.bound_tokens_per_second < by_disk;
    possible.push_back(by_compute ? said.bound_tokens_per_second : by_disk);
    shares.push_back(decode_rate(runs[i]) / possible.back());
  }
  if (possible.empty()) {
    return std::nullopt;
  }
  return BoundFigures{*spread_of(disk), spread_of(possible)->median, spread_of(shares)->median, by_compute};
}

Against against(double predicted, double measured) {
  return {predicted, measured, measured != 0 ? predicted / measured - 1 : 0};
}

std::optional<PredictionFigures> prediction_of(const ArmRuns& arm, const BenchFigures& figures) {
  const auto good = good_runs(arm);
  if (good.empty() || !good.front()->predicted.known) {
    return std::nullopt;
  }
  const PredictedRun& said = good.front()->predicted;
  const ArmFigures& measured = figures.arms.front();
  PredictionFigures prediction;
  prediction.decode = against(said.decode_tokens_per_second, measured.decode->median);
  prediction.memory_peak = against(as_double(said.memory_peak), measured.process_peak->median);
  if (arm.arm.spec.prompt_tokens == 512 && said.prefill512_seconds > 0) {
    prediction.prefill = against(512 / said.prefill512_seconds, measured.prefill->median);
  }
  if (said.bytes_per_token > 0 && measured.bytes_per_token->median > 0) {
    prediction.bytes_per_token = against(said.bytes_per_token, measured.bytes_per_token->median);
  }
  if (said.hit_rate >= 0 && figures.hit_rate) {
    prediction.hit_rate = against(said.hit_rate, figures.hit_rate->median);
    prediction.hit_rate_source = said.hit_rate_source;
  }
  return prediction;
}

}  // namespace

BenchFigures bench_figures(const Rounds& rounds) {
  BenchFigures figures;
  for (const ArmRuns& arm : rounds.arms) {
    figures.arms.push_back(arm_figures(arm));
  }
  figures.ratios = {ratio(figures.arms, &ArmFigures::decode, true), ratio(figures.arms, &ArmFigures::prefill, true),
                    ratio(figures.arms, &ArmFigures::first_token, false)};
  const ArmRuns& ours = rounds.arms.front();
  add_streaming(ours, figures);
  if (const RunResult* middle = middle_run(ours); middle != nullptr) {
    figures.token_split = divided(middle->decode.split, as_double(middle->decode.tokens));
    figures.prompt_split = divided(middle->prefill.split, 1);
    figures.no_prediction = middle->predicted.remark;
    figures.mode = middle->mode;
    figures.plan = middle->plan;
  }
  if (const DraftCount drafts = drafts_of(ours); drafts.drafted > 0) {
    figures.drafts = drafts;
  }
  figures.bound = bound_of(rounds);
  figures.prediction = prediction_of(ours, figures);
  return figures;
}

}  // namespace hypura
