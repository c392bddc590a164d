#include "plan/worker_speeds.h"

#include <algorithm>

#include "backend/worker_block.h"
#include "backend/worker_layers.h"
#include "placement/ffn_cost.h"
#include "plan/machine_speeds.h"
#include "plan/placement_problem.h"
#include "storage/reader.h"

namespace hypura {

namespace {

// In the mean of the problem's expert layers.
struct MeanExpert {
  double bytes = 0;
  double seconds = 0;  // for one token
};

MeanExpert mean_expert(const PlacementProblem& problem) {
  MeanExpert mean;
  double layers = 0;
  for (const ExpertGroup& group : problem.experts) {
    mean.bytes += group.layers * static_cast<double>(group.bytes);
    mean.seconds += group.layers * group.seconds.first;
    layers += group.layers;
  }
  return {mean.bytes / std::max(layers, 1.0), mean.seconds / std::max(layers, 1.0)};
}

// What a worker computes of a dense model, in the mean of its feed-forward parts.
PassSeconds feed_forward_seconds(const StreamLayout& layout, const MachineSpeeds& speeds) {
  const std::vector<WorkerLayer> layers = worker_layers(layout);
  PassSeconds all;
  for (const WorkerLayer& layer : layers) {
    for (const uint32_t item : layer.items) {
      PassSeconds its = item_seconds(speeds, layout.dense[item]);
      its.first /= layout.dense[item].repacked ? speeds.repacked_dense(layout.dense[item].tensor->type).token : 1;
      all += its;
    }
  }
  const auto count = static_cast<double>(std::max<size_t>(layers.size(), 1));
  return {all.first / count, all.more / count};
}

PassSeconds part_seconds(const MachineSpeeds& speeds, const ExpertPart& part) {
  const TensorInfo& tensor = *part.tensor;
  const auto bytes = static_cast<double>(part.slice_bytes);
  const auto elements = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
  return part.repacked ? speeds.repacked_expert(tensor.type, bytes, elements)
                       : speeds.expert_matrix(tensor.type, bytes, elements);
}

// An expert of the layout, in the mean of its layers; of a layout without experts a feed-forward part.
PassSeconds part_seconds(const StreamLayout& layout, const MachineSpeeds& speeds) {
  if (layout.expert_layers.empty()) {
    return feed_forward_seconds(layout, speeds);
  }
  PassSeconds all;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      all += part_seconds(speeds, part);
    }
  }
  const auto layers = static_cast<double>(layout.expert_layers.size());
  return {all.first / layers, all.more / layers};
}

}  // namespace

void tell_speeds(const StreamLayout& layout, const MachineProfile* profile, uint32_t threads, WorkerVerdict& verdict) {
  if (profile == nullptr) {
    return;
  }
  const MachineSpeeds speeds(profile, threads);
  const PassSeconds part = part_seconds(layout, speeds);
  verdict.expert_seconds = part.first;
  verdict.row_seconds = part.more;
  if (layout.expert_layers.empty()) {
    uint64_t largest = 1;
    for (const DenseItem& item : layout.dense) {
      largest = std::max(largest, item.extent.length);
    }
    verdict.disk_bytes_per_second = speeds.disk(largest, ReaderOptions{}.prefetch_depth).bytes_per_second;
    return;
  }
  uint64_t slice = UINT64_MAX;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& it : layer.parts) {
      slice = std::min(slice, it.slice_bytes);
    }
  }
  const DiskSpeed disk = speeds.disk(slice, ReaderOptions{}.depth);
  verdict.disk_bytes_per_second = disk.bytes_per_second;
  verdict.disk_seconds = disk.latency;
}

double slower_there(const WorkerVerdict& verdict, const StreamLayout& layout, const MachineProfile* profile,
                    uint32_t threads) {
  const double here = part_seconds(layout, MachineSpeeds(profile, threads)).first;
  return verdict.expert_seconds > 0 && here > 0 ? verdict.expert_seconds / here : 1;
}

WorkerPart worker_part(const FoundWorker& found, const StreamLayout& layout, const PlacementProblem& problem) {
  const WorkerVerdict& its = *found.verdict;
  const WorkerRoom room = worker_room(layout);
  const bool dense = problem.experts.empty();
  const DiskSpeed& disk = dense ? problem.dense_disk : problem.expert_disk;
  const double here = dense ? ffn_seconds(problem).part : mean_expert(problem).seconds;
  WorkerPart part;
  part.name = found.name;
  part.room = dense ? its.slots * its.slot_bytes : 0;
  // Of its slots those for the experts of one token are free between tokens, but where all have one.
  const uint32_t spare = its.slots >= problem.expert_slots() ? 0 : std::min(problem.most_used(), its.slots / 2);
  part.layer_experts = static_cast<double>(its.slots - spare) / static_cast<double>(std::max(1U, room.layers));
  const bool knows_disk = its.disk_bytes_per_second > 0;
  part.disk_bytes_per_second = knows_disk ? its.disk_bytes_per_second : disk.bytes_per_second;
  part.disk_latency = knows_disk ? its.disk_seconds : disk.latency;
  part.slower = its.expert_seconds > 0 && here > 0 ? its.expert_seconds / here : 1;
  part.most_tokens = std::min(its.most_pairs, kMostPairs);
  part.way.round_trip = found.way.round_trip;
  part.way.send_bytes_per_second = found.way.send_bytes_per_second;
  part.way.receive_bytes_per_second = found.way.receive_bytes_per_second;
  part.way.ask_bytes =
      static_cast<double>(ask_bytes(std::min(its.most_pairs, kMostPairs), 0, room.width) + WorkerSession::kAskHeads);
  part.way.token_bytes = static_cast<double>(room.width * sizeof(float));
  part.way.reply_bytes = static_cast<double>(reply_bytes(room.experts, 0, room.result) + kRpcAnswerHead);
  part.way.row_bytes = static_cast<double>(room.result * sizeof(float));
  return part;
}

MachineSpeed speed_here(const PlacementProblem& problem) {
  if (problem.experts.empty()) {
    return {0, 0, ffn_seconds(problem).part};
  }
  const MeanExpert here = mean_expert(problem);
  return {0, here.bytes / problem.expert_disk.bytes_per_second, here.seconds};
}

}  // namespace hypura
