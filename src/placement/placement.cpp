#include "placement/placement.h"

#include <algorithm>
#include <cmath>

#include "placement/gpu_placement.h"
#include "placement/pinning.h"
#include "placement/relaxation.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// One expert is computed while the next is read.
constexpr uint32_t kMinSlots = 2;
// A placement must be this much better than one that was found before it, which is the simpler.
constexpr double kBetter = 1e-9;

uint64_t min_ring(const PlacementProblem& problem) {
  return std::min(2 * problem.largest_slot_bytes(), problem.dense_slot_bytes());
}

uint32_t min_slots(const PlacementProblem& problem) {
  return std::min(kMinSlots, problem.expert_slots());
}

// Of a frame's capacity, what goes to the ring.
uint64_t ring_ahead(const PlacementProblem& problem, const Frame& frame) {
  if (!frame.ring) {
    return 0;
  }
  return problem.ring_ahead ? std::min(*problem.ring_ahead, frame.capacity) : std::min(kRingAhead, frame.capacity / 4);
}

// Bytes of a frame without its capacity.
uint64_t frame_bytes(const PlacementProblem& problem, const Frame& frame) {
  uint64_t bytes = base_bytes(problem, frame.mode, problem.kv[frame.kv], problem.ubatch[frame.ubatch], frame.rows);
  if (streams_experts(frame.mode)) {
    bytes += (frame.all_cached ? problem.expert_slots() : frame.spare) * problem.slot_stride;
  }
  if (streams_dense(frame.mode)) {
    bytes += frame.ring ? min_ring(problem) : problem.dense_slot_bytes();
  }
  return bytes;
}

// The frames that `mode` may have where tables stay, sizes of passes and KV cache left open.
std::vector<Frame> shapes_with_tables(const PlacementProblem& problem, Mode mode) {
  std::vector<Frame> shapes = {Frame{mode, 0, 0, 0, false, streams_dense(mode), false, 0, 0}};
  if (mode == Mode::kDenseStreaming) {
    shapes.push_back(Frame{mode, 0, 0, 0, false, false, false, 0, 0});  // everything pinned after all
  }
  const auto has = [&](Mode other) {
    return std::find(problem.modes.begin(), problem.modes.end(), other) != problem.modes.end();
  };
  const bool all_dense = mode == Mode::kMixedStreaming && !has(Mode::kExpertStreaming);  // else that is what this is
  if (streams_experts(mode)) {
    const Frame plain = shapes.front();
    shapes.front().all_cached = true;
    const uint32_t least = min_slots(problem);
    const uint32_t most = std::clamp(problem.most_used(), least, problem.expert_slots());
    for (uint32_t spare : {most, least}) {
      shapes.push_back(plain);
      shapes.back().spare = spare;
    }
    if (most == least) {
      shapes.pop_back();
    }
    for (size_t i = 0, streamed = shapes.size(); all_dense && i < streamed; ++i) {
      shapes.push_back(shapes[i]);
      shapes.back().ring = false;
    }
  }
  return shapes;
}

// The same, and with tables looked up row by row.
std::vector<Frame> shapes(const PlacementProblem& problem, Mode mode) {
  const std::vector<Frame> with_tables = shapes_with_tables(problem, mode);
  std::vector<Frame> all;
  if (mode == Mode::kResident || problem.tables.may_stay) {
    all = with_tables;
  }
  for (Frame frame : with_tables) {
    if (mode != Mode::kResident && problem.tables.may_stream) {
      frame.rows = true;
      all.push_back(frame);
    }
  }
  return all;
}

// All frames that fit the budget, with their capacity.
std::vector<Frame> frames(const PlacementProblem& problem) {
  std::vector<Frame> fitting;
  for (Mode mode : problem.modes) {
    for (Frame frame : shapes(problem, mode)) {
      for (frame.kv = 0; frame.kv < problem.kv.size(); ++frame.kv) {
        for (frame.ubatch = 0; frame.ubatch < problem.ubatch.size(); ++frame.ubatch) {
          const KvChoice& kv = problem.kv[frame.kv];
          const UbatchChoice& pass = problem.ubatch[frame.ubatch];
          const bool in_ram = problem.split && problem.split->in_ram;
          const uint64_t bytes = frame_bytes(problem, frame) + (in_ram ? split_device_bytes(problem, kv, pass) : 0);
          if (too_small_share(problem, kv, pass) == nullptr && bytes <= problem.budget) {
            fitting.push_back(frame);
            fitting.back().capacity = problem.budget - bytes;
          }
        }
      }
    }
  }
  return fitting;
}

// Gives `cached` experts to the groups, those that save most reading first; within a group by rank.
std::vector<uint32_t> share_out(const PlacementProblem& problem, uint32_t cached) {
  struct Rank {
    double saved;
    size_t group;
  };
  std::vector<Rank> ranks;
  for (size_t i = 0; i < problem.experts.size(); ++i) {
    for (double popularity : problem.experts[i].popularity) {
      ranks.push_back({popularity * static_cast<double>(problem.experts[i].bytes), i});
    }
  }
  std::stable_sort(ranks.begin(), ranks.end(), [](const Rank& a, const Rank& b) { return a.saved > b.saved; });
  std::vector<uint32_t> slots(problem.experts.size());
  for (const Rank& rank : ranks) {
    const uint32_t taken = std::min(cached, problem.experts[rank.group].layers);
    slots[rank.group] += taken;
    cached -= taken;
  }
  return slots;
}

// How the experts that the groups keep lie on their layers: evenly, the first layers taking one more.
std::vector<uint32_t> spread(const PlacementProblem& problem, const std::vector<uint32_t>& group_slots) {
  std::vector<uint32_t> slots;
  std::vector<uint32_t> seen(problem.experts.size());
  for (const size_t group : problem.layer_groups) {
    const uint32_t layers = problem.experts[group].layers;
    const uint32_t all = group_slots[group];
    slots.push_back(all / layers + (seen[group]++ < all % layers ? 1 : 0));
  }
  return slots;
}

void pin(const PlacementProblem& problem, uint64_t bytes, DensePlacement& placement) {
  std::vector<uint64_t> slot_bytes;
  std::vector<int> parts;
  for (const DenseWeight& it : problem.dense) {
    slot_bytes.push_back(it.slot_bytes);
    parts.push_back(it.part);
  }
  const bool workers = std::ranges::any_of(parts, [](int part) { return part >= 0; });
  placement.pinned = workers ? choose_pinned(slot_bytes, parts, bytes) : choose_pinned(slot_bytes, bytes);
  for (size_t i = 0; i < slot_bytes.size(); ++i) {
    if (placement.pinned[i]) {
      placement.pinned_bytes += slot_bytes[i];
    } else {
      placement.streamed_bytes += problem.dense[i].bytes;
    }
  }
  if (placement.streamed_bytes == 0) {
    placement.ring_bytes = 0;
  }
}

// Whole weights and slots: about `cached` experts, dense weights with what they leave, experts with what those leave.
Placement fill(const PlacementProblem& problem, const Frame& frame, uint32_t cached) {
  Placement placement;
  placement.dense.streamed = streams_dense(frame.mode);
  placement.experts.streamed = streams_experts(frame.mode);
  placement.experts.all = problem.expert_slots();
  placement.tables.streamed = frame.rows;
  placement.kv_type = problem.kv[frame.kv].type;
  placement.ubatch = problem.ubatch[frame.ubatch].tokens;
  uint64_t left = frame.capacity - ring_ahead(problem, frame);
  if (frame.ring) {
    placement.dense.ring_bytes = min_ring(problem) + ring_ahead(problem, frame);
    const uint64_t wanted = cached * problem.slot_stride;
    pin(problem, left - std::min(left, wanted), placement.dense);
    left -= placement.dense.pinned_bytes;
  } else if (placement.dense.streamed) {
    pin(problem, problem.dense_slot_bytes(), placement.dense);
  }
  if (placement.experts.streamed) {
    const uint32_t all = placement.experts.all;
    const uint64_t more = frame.all_cached ? all : left / problem.slot_stride;
    const auto kept = static_cast<uint32_t>(std::min<uint64_t>(more, all - frame.spare));
    placement.experts.slots = frame.spare + kept;
    placement.experts.spare_slots = frame.spare;
    placement.experts.group_slots = share_out(problem, kept);
    placement.experts.layer_slots = spread(problem, placement.experts.group_slots);
  }
  return placement;
}

// The least that the layers of that GPU take of its memory.
uint64_t minimum_split_vram(const PlacementProblem& problem, size_t device) {
  uint64_t least = UINT64_MAX;
  for (const KvChoice& kv : problem.kv) {
    for (const UbatchChoice& pass : problem.ubatch) {
      least = std::min(least, split_bytes_of_devices(problem, kv, pass)[device]);
    }
  }
  return least;
}

tl::unexpected<Error> too_small(const PlacementProblem& problem) {
  for (size_t i = 0; problem.split && i < problem.split->devices.size(); ++i) {
    const GpuSplitShare& device = problem.split->devices[i];
    if (const uint64_t least = minimum_split_vram(problem, i); least > device.budget) {
      return fail(ErrorCode::kBudget, "{} of the GPU's memory cannot hold {} layers of the model: they take {}",
                  format_bytes(device.budget), device.layers, format_bytes(least));
    }
  }
  return fail(ErrorCode::kBudget, "a budget of {} cannot hold the model: the smallest that can is {}",
              format_bytes(problem.budget), format_bytes(minimum_budget(problem)));
}

// Keeps the better of `best` and `placement`.
void offer(const PlacementProblem& problem, Placement placement, std::optional<Placement>& best) {
  placement.objective = objective(problem, placement);
  if (!best || placement.objective < best->objective * (1 - kBetter)) {
    best = std::move(placement);
  }
}

}  // namespace

Result<Placement> place_greedily(const PlacementProblem& problem) {
  std::optional<Placement> best;
  for (const Frame& frame : frames(problem)) {
    offer(problem, fill(problem, frame, 0), best);
  }
  return best ? Result<Placement>(*best) : too_small(problem);
}

namespace {

Result<Placement> place_on_processors(const PlacementProblem& problem) {
  std::optional<Placement> best;
  std::optional<double> bound;
  bool bounded = true;
  for (const Frame& frame : frames(problem)) {
    const Placement greedy = fill(problem, frame, problem.cached.value_or(0));
    offer(problem, greedy, best);
    if (frame.mode == Mode::kResident) {
      const double exact = objective(problem, greedy);  // nothing is left to divide
      bound = std::min(bound.value_or(exact), exact);
      continue;
    }
    Frame divided = frame;
    divided.capacity -= ring_ahead(problem, frame);
    // Where everything may get pinned after all, there may be no ring in the end.
    const bool surely = frame.ring && divided.capacity < problem.dense_slot_bytes();
    divided.ring_bytes = surely ? min_ring(problem) + ring_ahead(problem, frame) : 0;
    const auto relaxed = relax(problem, divided);
    bounded = bounded && relaxed;
    if (relaxed) {
      const auto cached = static_cast<uint32_t>(std::lround(relaxed->cached));
      offer(problem, fill(problem, frame, problem.cached.value_or(cached)), best);
      bound = std::min(bound.value_or(relaxed->bound), relaxed->bound);
    }
  }
  if (!best) {
    return too_small(problem);
  }
  best->bound = bounded ? bound : std::nullopt;
  return *best;
}

}  // namespace

Result<Placement> place(const PlacementProblem& problem) {
  if (!problem.workers.empty()) {
    PlacementProblem alone = problem;
    alone.workers.clear();
    return place(alone);
  }
  if (!problem.gpu) {
    return place_on_processors(problem);
  }
  auto with = place_on_gpu(problem);
  if (problem.gpu->required && (with || !problem.gpu->or_processors)) {
    return with;
  }
  auto without = place_on_processors(problem);
  const bool better = with && (!without || with->objective < gpu_objective(problem, *without));
  return better || !without ? std::move(with) : std::move(without);
}

uint64_t minimum_budget(const PlacementProblem& problem, Mode mode) {
  uint64_t least = UINT64_MAX;
  for (Frame frame : shapes(problem, mode)) {
    for (frame.kv = 0; frame.kv < problem.kv.size(); ++frame.kv) {
      for (frame.ubatch = 0; frame.ubatch < problem.ubatch.size(); ++frame.ubatch) {
        least = std::min(least, frame_bytes(problem, frame));
      }
    }
  }
  return least;
}

uint64_t minimum_budget(const PlacementProblem& problem) {
  uint64_t least = UINT64_MAX;
  for (Mode mode : problem.modes) {
    least = std::min(least, minimum_budget(problem, mode));
  }
  return least;
}

}  // namespace hypura
