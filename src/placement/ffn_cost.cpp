#include "placement/ffn_cost.h"

#include <algorithm>
#include <optional>

#include "placement/cost.h"
#include "placement/layer_share.h"

namespace hypura {

namespace {

struct Part {
  SharedLayer shared;       // of one token
  double read_bytes = 0;    // on disk, of what is not in memory here
  double pass_seconds = 0;  // of computing it here, in the pass
};

bool is_pinned(const Placement& placement, size_t weight) {
  return weight < placement.dense.pinned.size() && placement.dense.pinned[weight];
}

std::vector<Part> parts_of(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  std::vector<Part> parts;
  for (size_t i = 0; i < problem.dense.size(); ++i) {
    const DenseWeight& weight = problem.dense[i];
    if (weight.part < 0) {
      continue;
    }
    parts.resize(std::max(parts.size(), static_cast<size_t>(weight.part) + 1));
    Part& part = parts[static_cast<size_t>(weight.part)];
    part.shared.bytes += weight.slot_bytes;
    part.shared.seconds += weight.seconds.first;
    part.pass_seconds += weight.seconds.of(tokens);
    if (!is_pinned(placement, i)) {
      part.shared.read_here += weight.bytes;
      part.read_bytes += static_cast<double>(weight.bytes);
    }
  }
  return parts;
}

double ask_seconds(const WorkerTraffic& way, uint32_t tokens) {
  return way.round_trip + kAskingSeconds + (way.ask_bytes + tokens * way.token_bytes) / way.send_bytes_per_second +
         (way.reply_bytes + tokens * way.row_bytes) / way.receive_bytes_per_second;
}

// Who computes which part.
std::vector<uint32_t> owners_of(const PlacementProblem& problem, const Placement& placement,
                                const std::vector<Part>& parts) {
  std::vector<SharedLayer> layers;
  SharingHere here = {placement.dense.streamed_bytes, problem.dense_disk.bytes_per_second, ffn_seconds(problem).other};
  for (const Part& it : parts) {
    layers.push_back(it.shared);
    here.other_reads -= it.shared.read_here;
  }
  std::vector<std::optional<SharingWorker>> workers;
  for (const WorkerPart& it : problem.workers) {
    workers.emplace_back(SharingWorker{it.room, it.disk_bytes_per_second, ask_seconds(it.way, 1), it.slower});
  }
  return share_layers(layers, here, workers);
}

}  // namespace

FfnSeconds ffn_seconds(const PlacementProblem& problem) {
  FfnSeconds seconds = {dense_computing(problem, 1), 0};
  int parts = 0;
  for (const DenseWeight& it : problem.dense) {
    if (it.part >= 0) {
      seconds.part += it.seconds.first;
      parts = std::max(parts, it.part + 1);
    }
  }
  seconds.other = std::max(0.0, seconds.other - seconds.part);
  seconds.part /= std::max(parts, 1);
  return seconds;
}

bool asks_for_ffn(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  const auto takes = [tokens](const WorkerPart& it) { return tokens <= it.most_tokens; };
  const auto repacks = [tokens](const DenseWeight& it) { return it.part >= 0 && tokens >= it.repacked_from; };
  return !problem.workers.empty() && problem.experts.empty() && placement.dense.streamed && !placement.gpu &&
         std::ranges::all_of(problem.workers, takes) && std::ranges::none_of(problem.dense, repacks);
}

FfnCost ffn_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  const std::vector<Part> parts = parts_of(problem, placement, tokens);
  const std::vector<uint32_t> owners = owners_of(problem, placement, parts);
  FfnCost cost;
  cost.bytes_here = static_cast<double>(placement.dense.streamed_bytes);
  cost.machines.resize(problem.workers.size() + 1);
  std::vector<double> given(problem.workers.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint32_t owner = owners[i];
    cost.machines[owner].experts += 1;
    if (owner == kLayerIsHere) {
      cost.machines[owner].misses += parts[i].read_bytes > 0 ? 1 : 0;
      continue;
    }
    const WorkerPart& worker = problem.workers[owner - 1];
    cost.bytes_here -= parts[i].read_bytes;
    cost.saved += parts[i].pass_seconds;
    cost.there += ask_seconds(worker.way, tokens) + worker.slower * parts[i].pass_seconds;
    given[owner - 1] += static_cast<double>(parts[i].shared.bytes);
  }
  for (size_t i = 0; i < given.size(); ++i) {
    const WorkerPart& worker = problem.workers[i];
    const double read = std::max(0.0, given[i] - static_cast<double>(worker.room));
    cost.machines[i + 1].misses = given[i] > 0 ? cost.machines[i + 1].experts * read / given[i] : 0;
    cost.reading = std::max(cost.reading, read / worker.disk_bytes_per_second);
  }
  return cost;
}

}  // namespace hypura
