#include "placement/gpu_placement.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "placement/cost.h"
#include "placement/gpu_cost.h"
#include "placement/gpu_devices.h"
#include "placement/gpu_host.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// In RAM: one expert is copied while the next is read.
constexpr uint32_t kFewestRamSlots = 2;
// A placement must be this much better than one that was found before it, which is the simpler.
constexpr double kMuchBetter = 1e-9;

// One way to take the choices that are no matter of more or less.
struct GpuFrame {
  const KvChoice* kv = nullptr;
  const UbatchChoice* pass = nullptr;
  bool stages = true;
  bool rows = false;  // tables are looked up row by row
  bool ring = false;  // dense weights of the processors' layers pass through a ring, or are pinned
};

// A stretch of a group's hull: so much a byte is saved by going from some slots of a layer to more.
struct HullStep {
  size_t group = 0;
  uint32_t from = 0;
  uint32_t to = 0;
  double gain = 0;
};

// Without a cut layer's slots a token's experts would have no place. The processors' layers have none.
uint32_t fewest_slots(const ExpertGroup& group) {
  return std::min(group.used, group.experts);
}

std::vector<uint32_t> fewest_of_layers(const PlacementProblem& problem) {
  std::vector<uint32_t> slots;
  for (size_t layer = 0; layer < problem.layer_groups.size(); ++layer) {
    const ExpertGroup& its = problem.experts[problem.layer_groups[layer]];
    const auto& by_hand = problem.gpu->layer_slots;
    const uint32_t on_device = by_hand ? std::min(*by_hand, its.experts) : fewest_slots(its);
    slots.push_back(layer < problem.gpu->host.end_streamed ? 0 : on_device);
  }
  return slots;
}

// None where the device's are RAM's.
uint32_t fewest_ram_slots(const PlacementProblem& problem) {
  return problem.gpu->in_ram ? 0 : std::min(kFewestRamSlots, problem.expert_slots());
}

// A device's memory without slots and staging.
uint64_t device_base(const GpuProblem& gpu, const GpuPart& device, const GpuFrame& frame) {
  const auto kv = static_cast<size_t>(frame.kv - gpu.kv.data());
  const auto pass = static_cast<size_t>(frame.pass - gpu.ubatch.data());
  return device.weights + gpu.other + device.kv[kv] + device.compute[pass];
}

// What RAM holds for streaming besides slots.
uint64_t streaming_ram(const GpuProblem& gpu, const GpuFrame& frame) {
  return frame.pass->expert_bytes + gpu.host_expert_bytes(*frame.pass) + (gpu.mixed ? gpu.mixed_bytes : 0);
}

uint64_t ram_base(const PlacementProblem& problem, const GpuFrame& frame) {
  const GpuProblem& gpu = *problem.gpu;
  return gpu_table_bytes(problem, frame.rows) + host_weight_bytes(problem, frame.ring) +
         (frame.ring ? least_host_ring(problem) : 0) + gpu.host_kv(frame.kv->type) + gpu.host_bytes(*frame.pass) +
         problem.other + frame.pass->bytes + streaming_ram(gpu, frame);
}

// Slots that a token's experts of one layer take, which spare ones are.
uint32_t wanted_ram_slots(const PlacementProblem& problem) {
  return std::clamp(problem.most_used(), fewest_ram_slots(problem), std::max(1U, problem.expert_slots()));
}

// A device's memory beside so much of RAM.
uint64_t device_budget(const PlacementProblem& problem, const GpuPart& device, uint64_t ram) {
  const uint64_t left = problem.budget - std::min(problem.budget, ram);
  return problem.gpu->in_ram ? std::min(device.budget, left) : device.budget;
}

class GpuPlacer {
 public:
  GpuPlacer(const PlacementProblem& problem, const GpuFrame& frame)
      : problem_(problem), gpu_(*problem.gpu), frame_(frame), layers_(problem.layer_groups.size()) {}

  // None where it does not fit.
  std::optional<Placement> place();

 private:
  // By device: its memory that is left for more than the fewest slots; none where there is too little.
  std::optional<std::vector<uint64_t>> capacities() const;
  std::vector<HullStep> hulls(const GpuPart& device) const;
  uint32_t borrowed_by(const GpuPart& device, size_t group) const;
  std::vector<double> costs(const GpuPart& device, size_t group) const;
  void spend(const GpuPart& device, uint64_t capacity);
  void spend_rest(const GpuPart& device, uint64_t capacity);
  bool divide_ram();
  void share_out_ram(Placement& placement) const;

  const PlacementProblem& problem_;
  const GpuProblem& gpu_;
  const GpuFrame& frame_;
  const size_t layers_;
  uint32_t ram_slots_ = 0;
  DensePlacement host_dense_;    // of the processors' layers
  std::vector<uint32_t> slots_;  // by layer, on its device
};

// As long as no layer has slots for all of its experts.
uint32_t GpuPlacer::borrowed_by(const GpuPart& device, size_t group) const {
  const std::vector<uint32_t> borrowed =
      gpu_borrowed_slots(problem_, device, fewest_of_layers(problem_), frame_.stages);
  for (size_t i = device.first_streamed; i < device.end_streamed; ++i) {
    if (problem_.layer_groups[i] == group) {
      return borrowed[i];
    }
  }
  return 0;
}

// By slots of one layer of the group: what it costs of the objective.
std::vector<double> GpuPlacer::costs(const GpuPart& device, size_t group) const {
  const ExpertGroup& its = problem_.experts[group];
  const uint32_t tokens = std::min(frame_.pass->tokens, kGpuPromptTokens);
  const std::vector<double> of_token = expected_misses(its.popularity, 1);
  const std::vector<double> of_prompt = expected_misses(its.popularity, tokens);
  const auto layers = static_cast<double>(layers_);
  const GpuSpeeds& speeds = gpu_.speeds_for(device, frame_.pass->tokens);
  const double beside_token = gpu_dense_computing(speeds, 1) / layers;
  const double beside_prompt = gpu_dense_computing(speeds, tokens) / layers;
  const auto in_ram = static_cast<uint32_t>(ram_slots_ / layers_);
  const uint32_t borrowed = borrowed_by(device, group);
  std::vector<double> all;
  for (uint32_t slots = 0; slots <= its.experts; ++slots) {
    const GpuLayer layer = {group, slots, in_ram, borrowed, frame_.stages, gpu_.mixed};
    all.push_back(gpu_layer_cost(problem_, speeds, layer, 1, of_token, beside_token).seconds +
                  kGpuPromptShare / tokens *
                      gpu_layer_cost(problem_, speeds, layer, tokens, of_prompt, beside_prompt).seconds);
  }
  return all;
}

std::vector<HullStep> GpuPlacer::hulls(const GpuPart& device) const {
  std::vector<HullStep> steps;
  for (size_t group = 0; group < problem_.experts.size(); ++group) {
    const std::vector<double> cost = costs(device, group);
    const auto slope = [&](uint32_t a, uint32_t b) { return (cost[b] - cost[a]) / (b - a); };
    std::vector<uint32_t> hull = {fewest_slots(problem_.experts[group])};
    for (uint32_t slots = hull.front() + 1; slots < cost.size(); ++slots) {
      while (hull.size() > 1 && slope(hull.back(), slots) <= slope(hull[hull.size() - 2], hull.back())) {
        hull.pop_back();
      }
      hull.push_back(slots);
    }
    for (size_t i = 1; i < hull.size(); ++i) {
      const double saved = -slope(hull[i - 1], hull[i]);
      steps.push_back({group, hull[i - 1], hull[i], saved / static_cast<double>(gpu_.groups[group].slot_bytes)});
    }
  }
  std::ranges::stable_sort(steps, std::ranges::greater(), &HullStep::gain);
  return steps;
}

void GpuPlacer::spend(const GpuPart& device, uint64_t capacity) {
  for (const HullStep& step : hulls(device)) {
    const uint64_t bytes = (step.to - step.from) * gpu_.groups[step.group].slot_bytes;
    for (size_t layer = device.first_streamed; layer < device.end_streamed && bytes <= capacity; ++layer) {
      if (problem_.layer_groups[layer] == step.group && slots_[layer] == step.from && step.gain > 0) {
        slots_[layer] = step.to;
        capacity -= bytes;
      }
    }
  }
  spend_rest(device, capacity);
}

// One more slot to each layer in turn: what is left is less than the next step of any.
void GpuPlacer::spend_rest(const GpuPart& device, uint64_t capacity) {
  for (bool given = true; given;) {
    given = false;
    for (size_t layer = device.first_streamed; layer < device.end_streamed; ++layer) {
      const size_t group = problem_.layer_groups[layer];
      const uint64_t bytes = gpu_.groups[group].slot_bytes;
      if (slots_[layer] < problem_.experts[group].experts && bytes <= capacity) {
        ++slots_[layer];
        capacity -= bytes;
        given = true;
      }
    }
  }
}

// Those that the device has not go first, by what they save; layers that it holds whole need none.
void GpuPlacer::share_out_ram(Placement& placement) const {
  struct Rank {
    double saved = 0;
    size_t layer = 0;
  };
  std::vector<Rank> without;
  std::vector<Rank> with;
  for (size_t layer = 0; layer < layers_; ++layer) {
    const ExpertGroup& group = problem_.experts[problem_.layer_groups[layer]];
    for (uint32_t rank = 0; rank < group.experts && slots_[layer] < group.experts; ++rank) {
      const double saved = group.popularity[rank] * static_cast<double>(group.bytes);
      (rank < slots_[layer] ? with : without).push_back({saved, layer});
    }
  }
  std::ranges::stable_sort(without, std::ranges::greater(), &Rank::saved);
  std::ranges::stable_sort(with, std::ranges::greater(), &Rank::saved);
  without.insert(without.end(), with.begin(), with.end());

  ExpertPlacement& experts = placement.experts;
  experts.layer_slots.assign(layers_, 0);
  experts.group_slots.assign(problem_.experts.size(), 0);
  if (ram_slots_ == 0) {
    return;
  }
  const uint32_t least = fewest_ram_slots(problem_);
  const uint32_t spare = std::clamp(problem_.most_used(), least, std::max(least, ram_slots_ / 2));
  const bool all = ram_slots_ == problem_.expert_slots() && without.size() == ram_slots_;
  experts.spare_slots = all ? 0 : spare;
  const auto kept = std::min<size_t>(ram_slots_ - experts.spare_slots, without.size());
  experts.slots = static_cast<uint32_t>(kept) + experts.spare_slots;
  for (size_t i = 0; i < kept; ++i) {
    ++experts.layer_slots[without[i].layer];
    ++experts.group_slots[problem_.layer_groups[without[i].layer]];
  }
}

std::optional<std::vector<uint64_t>> GpuPlacer::capacities() const {
  std::vector<uint64_t> left;
  for (const GpuPart& device : gpu_.devices) {
    const uint64_t bytes = device.layers == 0
                               ? 0
                               : device_base(gpu_, device, frame_) + gpu_slot_bytes(problem_, device, slots_) +
                                     (frame_.stages ? gpu_staging_bytes(problem_, device, slots_) : 0);
    const uint64_t most = device_budget(problem_, device, ram_base(problem_, frame_));
    if (bytes > most) {
      return std::nullopt;
    }
    left.push_back(most - bytes);
  }
  return left;
}

// False where it does not fit. A byte of a dense weight is used by every token, one of an expert by some: beyond the
// slots of a token in work, dense weights go first.
bool GpuPlacer::divide_ram() {
  const uint64_t base = ram_base(problem_, frame_);
  const uint64_t fewest = fewest_ram_slots(problem_) * problem_.slot_stride;
  if (base + fewest > problem_.budget) {
    return false;
  }
  uint64_t left = problem_.budget - base;
  host_dense_.pinned_on = Tier::kDevice;
  if (frame_.ring) {
    const uint64_t wanted = wanted_ram_slots(problem_) * problem_.slot_stride;
    const uint64_t least = least_host_ring(problem_);
    host_dense_ = divide_host_dense(problem_, left - std::min(left, wanted));
    left = left + least - host_dense_.pinned_bytes - host_dense_.ring_bytes;
  }
  if (!gpu_.in_ram) {
    ram_slots_ = static_cast<uint32_t>(std::min<uint64_t>(left / problem_.slot_stride, problem_.expert_slots()));
  }
  return true;
}

std::optional<Placement> GpuPlacer::place() {
  slots_ = fewest_of_layers(problem_);
  const auto capacity = capacities();
  if (!capacity || !divide_ram()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < gpu_.devices.size() && !gpu_.layer_slots; ++i) {
    if (gpu_.devices[i].end_streamed > gpu_.devices[i].first_streamed) {
      spend(gpu_.devices[i], (*capacity)[i]);
    }
  }

  Placement placement;
  placement.dense = host_dense_;
  placement.experts.streamed = true;
  placement.experts.all = problem_.expert_slots();
  placement.tables.streamed = frame_.rows;
  placement.kv_type = frame_.kv->type;
  placement.ubatch = frame_.pass->tokens;
  share_out_ram(placement);
  const bool borrows = frame_.stages && std::ranges::any_of(gpu_.groups, &GpuGroup::borrows);
  placement.gpu =
      GpuPlacement{slots_, frame_.stages, borrows, gpu_.mixed, 0, 0, layers_of_devices(gpu_), gpu_.host.layers};
  for (const GpuPart& device : gpu_.devices) {
    placement.gpu->slot_bytes += gpu_slot_bytes(problem_, device, slots_);
    placement.gpu->staging_bytes += frame_.stages ? gpu_staging_bytes(problem_, device, slots_) : 0;
  }
  return placement;
}

Placement all_on_device(const PlacementProblem& problem, const GpuFrame& frame) {
  Placement placement;
  placement.dense.pinned_on = Tier::kDevice;
  placement.experts.slots_on = placement.experts.pinned_on = Tier::kDevice;
  placement.experts.all = problem.expert_slots();
  placement.kv_type = frame.kv->type;
  placement.ubatch = frame.pass->tokens;
  placement.gpu.emplace();
  placement.gpu->stages = false;
  placement.gpu->device_layers = layers_of_devices(*problem.gpu);
  return placement;
}

bool fits(const PlacementProblem& problem, const Placement& placement) {
  const uint64_t ram = gpu_ram_bytes(problem, placement);
  const auto fits_there = [&](const GpuPart& device) {
    return gpu_device_bytes(problem, placement, device) <= device_budget(problem, device, ram);
  };
  return std::ranges::all_of(problem.gpu->devices, fits_there) && ram <= problem.budget;
}

// Keeps the better of `best` and `placement`.
void offer_on_gpu(const PlacementProblem& problem, Placement placement, std::optional<Placement>& best) {
  placement.objective = objective(problem, placement);
  if (!best || placement.objective < best->objective * (1 - kMuchBetter)) {
    best = std::move(placement);
  }
}

// Whether dense weights of the processors' layers may pass through a ring: where else a token's experts have no slots.
bool may_ring(const PlacementProblem& problem, const GpuFrame& frame) {
  const GpuHostLayers& host = problem.gpu->host;
  if (!host.may_stream || host.layers == 0 || host.end_dense == 0) {
    return false;
  }
  return !host.may_stay || ram_base(problem, frame) + wanted_ram_slots(problem) * problem.slot_stride > problem.budget;
}

// All but those in which tables, or dense weights of the processors' layers, must stay or must not.
std::vector<GpuFrame> gpu_frames(const PlacementProblem& problem, bool stages) {
  std::vector<GpuFrame> frames;
  const GpuHostLayers& host = problem.gpu->host;
  for (const KvChoice& kv : problem.gpu->kv) {
    for (const UbatchChoice& pass : problem.gpu->ubatch) {
      for (const bool rows : {false, true}) {
        const bool may_look_up = problem.gpu->may_look_up && problem.tables.may_stream;
        if (rows ? !may_look_up : !problem.tables.may_stay && may_look_up) {
          continue;
        }
        GpuFrame frame = {&kv, &pass, stages, rows};
        if (host.may_stay || host.layers == 0) {
          frames.push_back(frame);
        }
        if (may_ring(problem, frame)) {
          frame.ring = true;
          frames.push_back(frame);
        }
      }
    }
  }
  return frames;
}

// What `measure` makes of each frame, at least.
template <class Measure>
uint64_t least_of_frames(const PlacementProblem& problem, const Measure& measure) {
  uint64_t least = UINT64_MAX;
  for (const GpuFrame& frame : gpu_frames(problem, false)) {
    least = std::min(least, measure(frame));
  }
  return least;
}

tl::unexpected<Error> gpu_cannot(const PlacementProblem& problem) {
  if (!problem.gpu->obstacle.empty()) {
    return fail(ErrorCode::kUsage, "{}", problem.gpu->obstacle);
  }
  if (const GpuPart* device = too_small_device(problem)) {
    return fail(ErrorCode::kBudget,
                "{} of the GPU's memory cannot hold the model's part there: the smallest that can is {}",
                format_bytes(device->budget), format_bytes(minimum_vram(problem, *device)));
  }
  return fail(ErrorCode::kBudget, "a budget of {} cannot hold what stays in RAM: the smallest that can is {}",
              format_bytes(problem.budget), format_bytes(minimum_gpu_ram(problem)));
}

// The best of all frames in which layers that are needed whole pass through, or in which some experts at a time come.
std::optional<Placement> best_of_frames(const PlacementProblem& problem, bool stages) {
  std::optional<Placement> best;
  for (const GpuFrame& frame : gpu_frames(problem, stages)) {
    const Placement all = all_on_device(problem, frame);
    if (!frame.rows && !frame.ring && problem.gpu->may_hold_all && problem.gpu->host.layers == 0 &&
        fits(problem, all)) {
      offer_on_gpu(problem, all, best);
    }
    if (auto placement = problem.gpu->may_stream ? GpuPlacer(problem, frame).place() : std::nullopt) {
      offer_on_gpu(problem, std::move(*placement), best);
    }
  }
  return best;
}

}  // namespace

// Some experts at a time only where there is nowhere room for two layers: the same experts then come again and again in
// a pass, and their rows are gathered and scattered (a fifth of the speed, docs/results.md).
Result<Placement> place_on_gpu(const PlacementProblem& problem) {
  if (!problem.gpu->obstacle.empty()) {
    return gpu_cannot(problem);
  }
  auto best = best_of_frames(problem, problem.gpu->stages.value_or(true));
  if (!best && !problem.gpu->stages) {
    best = best_of_frames(problem, false);
  }
  return best ? Result<Placement>(std::move(*best)) : gpu_cannot(problem);
}

uint64_t minimum_vram(const PlacementProblem& problem, const GpuPart& device) {
  const GpuProblem& gpu = *problem.gpu;
  if (device.layers == 0) {
    return 0;
  }
  return least_of_frames(problem, [&](const GpuFrame& frame) {
    const uint64_t base = device_base(gpu, device, frame);
    const uint64_t all = base - gpu.other + gpu_expert_bytes(problem, device);
    const uint64_t some = base + gpu_slot_bytes(problem, device, fewest_of_layers(problem));
    const bool may_hold_all = gpu.may_hold_all && gpu.host.layers == 0;
    return gpu.may_stream && (some < all || !may_hold_all) ? some : all;
  });
}

uint64_t minimum_vram(const PlacementProblem& problem) {
  uint64_t bytes = 0;
  for (const GpuPart& device : problem.gpu->devices) {
    bytes += minimum_vram(problem, device);
  }
  return bytes;
}

const GpuPart* too_small_device(const PlacementProblem& problem) {
  const auto it = std::ranges::find_if(
      problem.gpu->devices, [&](const GpuPart& device) { return minimum_vram(problem, device) > device.budget; });
  return it == problem.gpu->devices.end() ? nullptr : &*it;
}

namespace {

// Of both, where the device computes in RAM: with all of the model there, or with the fewest slots.
uint64_t least_in_ram(const PlacementProblem& problem, const GpuFrame& frame) {
  const GpuProblem& gpu = *problem.gpu;
  const GpuPart& device = gpu.devices.front();
  const uint64_t both = ram_base(problem, frame) + device_base(gpu, device, frame);
  const uint64_t all = both - frame.pass->expert_bytes - gpu.other + gpu_expert_bytes(problem, device);
  const uint64_t some = both + gpu_slot_bytes(problem, device, fewest_of_layers(problem));
  const bool may_hold_all = gpu.may_hold_all && !frame.rows;
  return !gpu.may_stream ? all : may_hold_all ? std::min(some, all) : some;
}

}  // namespace

uint64_t minimum_gpu_ram(const PlacementProblem& problem) {
  const GpuProblem& gpu = *problem.gpu;
  return least_of_frames(problem, [&](const GpuFrame& frame) {
    if (gpu.in_ram) {
      return least_in_ram(problem, frame);
    }
    const uint64_t base = ram_base(problem, frame);
    const bool all =
        gpu.may_hold_all && !frame.rows && gpu.host.layers == 0 &&
        std::ranges::all_of(gpu.devices, [&](const GpuPart& device) {
          return device.layers == 0 ||
                 device_base(gpu, device, frame) - gpu.other + gpu_expert_bytes(problem, device) <= device.budget;
        });
    return all ? base - streaming_ram(gpu, frame) : base + fewest_ram_slots(problem) * problem.slot_stride;
  });
}

}  // namespace hypura
