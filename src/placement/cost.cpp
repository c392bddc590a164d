#include "placement/cost.h"

#include <algorithm>
#include <cmath>

#include "placement/ffn_cost.h"
#include "placement/gpu_cost.h"
#include "placement/gpu_split.h"
#include "placement/popularity.h"
#include "placement/worker_cost.h"

namespace hypura {

namespace {

// One layer of `group` with `cached` experts in a pass of `tokens` tokens.
PassCost layer_cost(const PlacementProblem& problem, const Placement& placement, const ExpertGroup& group,
                    uint32_t cached, uint32_t tokens) {
  PassCost cost;
  cost.uses = expected_experts(group.popularity, 0, tokens);
  cost.misses = expected_experts(group.popularity, cached, tokens);
  cost.compute = layer_computing(group, cost.uses, tokens);
  cost.compute += cost.misses * group.issuing;
  cost.bytes = cost.misses * static_cast<double>(group.bytes);
  cost.seconds = cost.compute;
  if (cost.misses > 0) {
    // Reads are started together, of as many experts at a time as there are spare slots.
    const double any = std::min(1.0, cost.misses);
    const uint32_t spare = placement.experts.spare_slots;
    const double rounds = spare > 0 ? std::max(any, cost.misses / spare) : any;
    const double reading = cost.bytes / problem.expert_disk.bytes_per_second + rounds * problem.expert_disk.latency;
    cost.seconds = overlapped(cost.compute, reading, overlap_costs(problem, group, spare, tokens),
                              read_before(problem, group, spare, tokens));
  }
  return cost;
}

void add(PassCost& sum, const PassCost& layer, double layers) {
  sum.seconds += layers * layer.seconds;
  sum.compute += layers * layer.compute;
  sum.bytes += layers * layer.bytes;
  sum.uses += layers * layer.uses;
  sum.misses += layers * layer.misses;
  sum.elsewhere += layers * layer.elsewhere;
}

}  // namespace

double dense_computing(const PlacementProblem& problem, uint32_t tokens) {
  double seconds = problem.rest.of(tokens);
  for (const DenseWeight& it : problem.dense) {
    seconds += (tokens >= it.repacked_from ? it.repacked : it.seconds).of(tokens);
  }
  return problem.split ? split_computing(*problem.split, seconds, tokens) : seconds;
}

double resident_computing(const PlacementProblem& problem, uint32_t tokens) {
  const double seconds = problem.resident.of(tokens);
  return problem.split ? split_computing(*problem.split, seconds, tokens) : seconds;
}

uint64_t split_device_bytes(const PlacementProblem& problem, const KvChoice& kv, const UbatchChoice& pass) {
  return problem.split ? problem.split->weights() + kv.device_bytes + pass.device_bytes : 0;
}

namespace {

// Of `all` bytes those that a device has by its share, when the ones before it have theirs: they add up to all.
uint64_t bytes_of_share(uint64_t all, double before, double share) {
  const auto up_to = [all](double part) { return std::llround(part * static_cast<double>(all)); };
  return static_cast<uint64_t>(up_to(before + share) - up_to(before));
}

}  // namespace

std::vector<uint64_t> split_bytes_of_devices(const PlacementProblem& problem, const KvChoice& kv,
                                             const UbatchChoice& pass) {
  std::vector<uint64_t> bytes;
  double kv_before = 0;
  double compute_before = 0;
  for (const GpuSplitShare& it : problem.split ? problem.split->devices : std::vector<GpuSplitShare>()) {
    bytes.push_back(it.weights + bytes_of_share(kv.device_bytes, kv_before, it.kv_share) +
                    bytes_of_share(pass.device_bytes, compute_before, it.compute_share));
    kv_before += it.kv_share;
    compute_before += it.compute_share;
  }
  return bytes;
}

const GpuSplitShare* too_small_share(const PlacementProblem& problem, const KvChoice& kv, const UbatchChoice& pass) {
  const std::vector<uint64_t> bytes = split_bytes_of_devices(problem, kv, pass);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > problem.split->devices[i].budget) {
      return &problem.split->devices[i];
    }
  }
  return nullptr;
}

double layer_computing(const ExpertGroup& group, double uses, uint32_t tokens) {
  const double rows = static_cast<double>(tokens) * group.used;
  const PassSeconds& expert = rows >= group.repacked_from * uses ? group.repacked : group.seconds;
  return uses * expert.first + std::max(0.0, rows - uses) * expert.more;
}

Contention overlap_costs(const PlacementProblem& problem, const ExpertGroup& group, uint32_t spare, uint32_t tokens) {
  const bool decodes = tokens <= kMostDecoded;
  const bool ahead = problem.reads_ahead && (!decodes || (tokens == 1 && spare >= group.used));
  const double loss = ahead ? kOverlapLossAhead : kOverlapLoss;
  return {std::max(loss, problem.contention.computing), std::max(loss, problem.contention.reading)};
}

double read_before(const PlacementProblem& problem, const ExpertGroup& group, uint32_t spare, uint32_t tokens) {
  if (!problem.reads_ahead || tokens <= kMostDecoded) {
    return 0;
  }
  double layers = 0;
  for (const ExpertGroup& it : problem.experts) {
    layers += it.layers;
  }
  const double slots = spare * static_cast<double>(group.bytes) / problem.expert_disk.bytes_per_second;
  return std::min(slots, dense_computing(problem, tokens) / layers);
}

double overlapped(double computing, double reading, const Contention& costs, double before) {
  return std::max(computing + costs.computing * reading, std::max(0.0, reading - before) + costs.reading * computing);
}

uint64_t table_buffer_bytes(const PlacementProblem& problem, Mode mode, bool rows) {
  return (rows ? problem.tables.buffer_bytes : 0) + (streams_dense(mode) ? problem.tables.output_buffer_bytes : 0);
}

// The reads of a pass begin together, before anything is computed.
Lookups lookups(const PlacementProblem& problem, Mode mode, bool rows, uint32_t tokens) {
  const double each =
      (rows ? problem.tables.token_bytes : 0) + (streams_dense(mode) ? problem.tables.output_token_bytes : 0);
  const double bytes = tokens * each;
  return {bytes > 0 ? problem.table_disk.latency + bytes / problem.table_disk.bytes_per_second : 0, bytes};
}

uint64_t base_bytes(const PlacementProblem& problem, Mode mode, const KvChoice& kv, const UbatchChoice& pass,
                    bool rows) {
  return problem.fixed + (rows ? 0 : problem.tables.bytes) + table_buffer_bytes(problem, mode, rows) + problem.other +
         kv.bytes + pass.bytes + (mode == Mode::kResident ? problem.unused + problem.growth : 0) +
         (streams_experts(mode) ? pass.expert_bytes : problem.expert_bytes) +
         (streams_dense(mode) ? pass.dense_bytes + problem.worker_bytes : problem.dense_bytes());
}

uint64_t total_bytes(const PlacementProblem& problem, const Placement& placement) {
  if (placement.gpu) {
    return gpu_ram_bytes(problem, placement);
  }
  return base_bytes(problem, placement.mode(), problem.kv_choice(placement), problem.ubatch_choice(placement),
                    placement.tables.streamed) +
         placement.dense.pinned_bytes + placement.dense.ring_bytes + placement.experts.slots * problem.slot_stride;
}

uint64_t ring_under_way(const PlacementProblem& problem, uint64_t ring_bytes) {
  return std::min(ring_bytes, problem.dense_ahead);
}

double dense_byte_seconds(const PlacementProblem& problem, uint64_t ring_bytes) {
  const double turn = ring_bytes > 0 ? problem.dense_disk.latency / static_cast<double>(ring_bytes) : 0;
  return 1 / problem.dense_disk.bytes_per_second + turn;
}

std::vector<QuotaShare> quota_shares(const ExpertGroup& group, uint32_t slots) {
  const uint32_t more = slots % group.layers;
  return {{more, slots / group.layers + 1}, {group.layers - more, slots / group.layers}};
}

PlacementProblem problem_after(PlacementProblem problem, double more) {
  problem.rest.first += problem.attention * more;
  problem.resident.first += problem.attention * more;
  if (problem.split) {
    problem.split->on_gpu.first += problem.split->attention * more;
  }
  if (problem.gpu) {
    for (GpuPart& device : problem.gpu->devices) {
      for (GpuSpeeds& speeds : device.speeds) {
        speeds.rest.first += speeds.attention * more;
        speeds.resident.first += speeds.attention * more;
      }
    }
  }
  return problem;
}

namespace {

// What experts of one group cost in a pass; layers that ask for reads are added to `asking`.
struct GroupPass {
  size_t group = 0;
  uint32_t tokens = 0;
  uint32_t outputs = 0;  // of the tokens, what the last layer computes
  bool workers = false;
};
void add_group(const PlacementProblem& problem, const Placement& placement, const GroupPass& pass, PassCost& cost,
               double& asking) {
  const ExpertGroup& group = problem.experts[pass.group];
  const bool streamed = placement.experts.streamed;
  const uint32_t slots = streamed ? placement.experts.group_slots[pass.group] : group.layers * group.experts;
  const auto add_layers = [&](uint32_t layers, uint32_t cached, uint32_t tokens) {
    PassCost layer = pass.workers ? workers_layer_cost(problem, placement, group, cached, tokens).cost
                                  : layer_cost(problem, placement, group, cached, tokens);
    layer.seconds += streamed ? problem.block_seconds : 0;
    layer.compute += streamed ? problem.block_seconds : 0;
    add(cost, layer, layers);
    asking += layers * std::min(1.0, layer.misses);
  };
  bool last = pass.outputs < pass.tokens && pass.group == problem.layer_groups.back();
  std::vector<QuotaShare> shares = quota_shares(group, slots);
  std::ranges::reverse(shares);  // the last layer is one of those with fewer
  for (const QuotaShare& share : shares) {
    const uint32_t of_outputs = last && share.layers > 0 ? 1 : 0;
    last = last && of_outputs == 0;
    if (share.layers > of_outputs) {
      add_layers(share.layers - of_outputs, share.cached, pass.tokens);
    }
    if (of_outputs > 0) {
      add_layers(1, share.cached, pass.outputs);
    }
  }
}

PassCost pass_with_outputs(const PlacementProblem& problem, const Placement& placement, uint32_t tokens,
                           uint32_t outputs) {
  if (placement.gpu) {
    return gpu_pass_cost(problem, placement, tokens, outputs, false);
  }
  PassCost cost;
  const double slower = 1 + problem.kv_choice(placement).slower;
  if (placement.mode() == Mode::kResident) {
    cost.seconds = cost.compute = resident_computing(problem, tokens) * slower;
    return cost;
  }
  FfnCost parts;  // that workers compute
  parts.bytes_here = static_cast<double>(placement.dense.streamed_bytes);
  if (asks_for_ffn(problem, placement, tokens)) {
    parts = ffn_cost(problem, placement, tokens);
  }
  const double dense_bytes = parts.bytes_here;
  const Lookups rows = lookups(problem, placement.mode(), placement.tables.streamed, tokens);
  cost.compute = (dense_computing(problem, tokens) - parts.saved) * slower + problem.dense_issuing * dense_bytes;
  cost.seconds = cost.compute + parts.there + rows.seconds;
  const bool workers = asks_workers(problem, placement, tokens);
  double asking = 0;  // expert layers that ask for reads
  for (size_t i = 0; i < problem.experts.size(); ++i) {
    add_group(problem, placement, {i, tokens, outputs, workers}, cost, asking);
  }
  const double dense_reading = dense_bytes * dense_byte_seconds(problem, placement.dense.ring_bytes);
  // Each layer's reads wait for what the ring has under way; all in all for no more than the ring reads.
  const auto under_way = static_cast<double>(ring_under_way(problem, placement.dense.ring_bytes));
  cost.seconds += std::min(asking * under_way / problem.dense_disk.bytes_per_second, dense_reading);
  cost.seconds += problem.contention.computing * dense_reading;
  double reading = dense_reading + cost.bytes / problem.expert_disk.bytes_per_second;
  if (problem.split && dense_bytes > 0) {
    reading += disk_idles(*problem.split, placement.dense.ring_bytes, problem.dense_disk.bytes_per_second, tokens);
  }
  cost.bytes += dense_bytes + rows.bytes;
  cost.seconds = std::max({cost.seconds, reading + problem.contention.reading * cost.compute, parts.reading});
  return cost;
}

double seconds_of_prompt(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, bool cold,
                         bool last_output_only) {
  const auto outputs_of = [&](uint32_t pass) { return last_output_only ? 1 : pass; };
  const auto seconds_of = [&](const Placement& its, uint32_t pass) {
    return pass_with_outputs(problem, its, pass, outputs_of(pass)).seconds;
  };
  const uint32_t each = std::min(placement.ubatch, tokens);
  const uint32_t whole_passes = tokens / each;
  double seconds = whole_passes * seconds_of(placement, each);
  if (tokens % each > 0) {
    seconds += seconds_of(placement, tokens % each);
  }
  if (cold && placement.experts.streamed && placement.gpu) {
    seconds += gpu_pass_cost(problem, placement, each, outputs_of(each), true).seconds - seconds_of(placement, each);
  } else if (cold && placement.experts.streamed) {
    Placement empty = placement;
    std::fill(empty.experts.group_slots.begin(), empty.experts.group_slots.end(), 0);
    seconds += seconds_of(empty, each) - seconds_of(placement, each);
  }
  return seconds;
}

}  // namespace

PassCost pass_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  return pass_with_outputs(problem, placement, tokens, tokens);
}

double prompt_seconds(const PlacementProblem& problem, const Placement& placement, uint32_t tokens, bool cold) {
  return seconds_of_prompt(problem, placement, tokens, cold, true);
}

namespace {

constexpr PromptWeight kGpuPrompt = {kGpuPromptTokens, kGpuPromptShare};

// As the linear program has it, to which all layers are alike: all compute all tokens of a prompt.
double objective_for(const PlacementProblem& problem, const Placement& placement, const PromptWeight& prompt) {
  return pass_cost(problem, placement, 1).seconds +
         prompt.share / prompt.tokens * seconds_of_prompt(problem, placement, prompt.tokens, false, false);
}

}  // namespace

PromptWeight prompt_weight(const PlacementProblem& problem) {
  return problem.split && problem.split->offload_from > 0 ? kGpuPrompt : PromptWeight{kPromptTokens, kPromptShare};
}

double objective(const PlacementProblem& problem, const Placement& placement) {
  return placement.gpu ? gpu_objective(problem, placement) : objective_for(problem, placement, prompt_weight(problem));
}

double gpu_objective(const PlacementProblem& problem, const Placement& placement) {
  return objective_for(problem, placement, kGpuPrompt);
}

}  // namespace hypura
