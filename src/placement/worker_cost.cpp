#include "placement/worker_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "placement/popularity.h"

namespace hypura {

namespace {

constexpr uint32_t kSamples = 256;

struct Load {
  double experts = 0;
  double misses = 0;
};

// How long machines take for their shares of a layer. Machine 0 is this one.
class LayerSeconds {
 public:
  LayerSeconds(const PlacementProblem& problem, const ExpertGroup& group, uint32_t spare, uint32_t tokens, double uses)
      : problem_(problem),
        group_(group),
        spare_(spare),
        tokens_(tokens),
        rows_(static_cast<double>(tokens) * group.used / uses),
        each_(layer_computing(group, uses, tokens) / uses),
        contention_(tokens <= kMostDecoded ? without_reading_ahead() : overlap_costs(problem, group, spare, tokens)),
        before_(tokens <= kMostDecoded ? 0 : read_before(problem, group, spare, tokens)) {}

  size_t machines() const { return problem_.workers.size() + 1; }

  double computing(const Load& load) const { return load.experts * each_ + load.misses * group_.issuing; }

  double of(size_t machine, const Load& load) const {
    if (load.experts == 0) {
      return 0;
    }
    return machine == 0 ? here(load) : there(problem_.workers[machine - 1], load);
  }

 private:
  // While others compute a part of each layer nothing is read ahead.
  Contention without_reading_ahead() const {
    return {std::max(kOverlapLoss, problem_.contention.computing), std::max(kOverlapLoss, problem_.contention.reading)};
  }

  double here(const Load& load) const {
    const double rounds = spare_ > 0 ? std::max(1.0, load.misses / spare_) : 1;
    return work(computing(load), load.misses, problem_.expert_disk.bytes_per_second,
                rounds * problem_.expert_disk.latency);
  }

  double there(const WorkerPart& worker, const Load& load) const {
    const WorkerTraffic& way = worker.way;
    const double rows = load.experts * rows_;
    const double sent = way.ask_bytes + std::min<double>(tokens_, rows) * way.token_bytes;
    const double received = way.reply_bytes + rows * way.row_bytes;
    return way.round_trip + kAskingSeconds + sent / way.send_bytes_per_second +
           received / way.receive_bytes_per_second +
           work(computing(load) * worker.slower, load.misses, worker.disk_bytes_per_second, worker.disk_latency);
  }

  double work(double computing, double misses, double bytes_per_second, double latency) const {
    if (misses == 0) {
      return computing;
    }
    const double reading = misses * static_cast<double>(group_.bytes) / bytes_per_second + latency;
    return overlapped(computing, reading, contention_, before_);
  }

  const PlacementProblem& problem_;
  const ExpertGroup& group_;
  double spare_;
  double tokens_;
  double rows_;  // of an expert that is used
  double each_;  // seconds of computing one
  Contention contention_;
  double before_;  // of the reading, done when the layer begins
};

// What is in whose memory, told by chance.
class Holdings {
 public:
  Holdings(const PlacementProblem& problem, const ExpertGroup& group, uint32_t cached) {
    const auto most = static_cast<double>(group.experts);
    ends_.push_back(std::min<double>(cached, most));
    for (const WorkerPart& it : problem.workers) {
      ends_.push_back(ends_.back() + std::min(it.layer_experts, most));
    }
    together_ = std::min(ends_.back(), most);
    for (double& it : ends_) {
      it /= std::max(together_, 1.0);
    }
  }

  // Experts of a layer that are in some memory.
  uint32_t together() const { return static_cast<uint32_t>(together_); }

  // Whether the machine has an expert that some have; `point` in 0..1, another for each expert. At least one has it,
  // and each has as many as its part of all memory.
  bool has(size_t machine, double point) const {
    const double start = machine == 0 ? 0 : ends_[machine - 1];
    return std::ceil(ends_[machine] - point) > std::ceil(start - point);
  }

 private:
  std::vector<double> ends_;  // by machine, each from where the one before ends
  double together_ = 0;
};

// Draws what a pass wants of a layer, and divides it as MachineShare does.
class Draws {
 public:
  Draws(const LayerSeconds& seconds, const Holdings& holdings, uint32_t uses, double missing)
      : seconds_(seconds), holdings_(holdings), uses_(uses), missing_(missing), loads_(seconds.machines()) {}

  // Seconds of the layer, of the next draw; loads() then says who did what.
  double next() {
    std::fill(loads_.begin(), loads_.end(), Load());
    Load alone;
    uint32_t nobodys = 0;
    for (uint32_t i = 0; i < uses_; ++i) {
      const bool missing = chance() < missing_;
      const double point = chance();
      alone.experts += 1;
      alone.misses += missing || !holdings_.has(0, point) ? 1 : 0;
      nobodys += missing ? 1 : 0;
      if (!missing) {
        give(point, true);
      }
    }
    for (uint32_t i = 0; i < nobodys; ++i) {
      give(0, false);
    }
    const double together = last_done();
    if (seconds_.of(0, alone) > together) {
      return together;
    }
    std::fill(loads_.begin(), loads_.end(), Load());
    loads_.front() = alone;
    return seconds_.of(0, alone);
  }

  const std::vector<Load>& loads() const { return loads_; }

 private:
  double chance() { return static_cast<double>(random_() - 1) / static_cast<double>(std::minstd_rand::max()); }

  // To whoever is done first with it: of those that have it, or where nobody has, of all.
  void give(double point, bool held) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t machine = 0; machine < loads_.size(); ++machine) {
      if (held && !holdings_.has(machine, point)) {
        continue;
      }
      const Load load = {loads_[machine].experts + 1, loads_[machine].misses + (held ? 0 : 1)};
      if (const double end = seconds_.of(machine, load); end < least) {
        best = machine;
        least = end;
      }
    }
    loads_[best].experts += 1;
    loads_[best].misses += held ? 0 : 1;
  }

  double last_done() const {
    double last = 0;
    for (size_t machine = 0; machine < loads_.size(); ++machine) {
      last = std::max(last, seconds_.of(machine, loads_[machine]));
    }
    return last;
  }

  const LayerSeconds& seconds_;
  const Holdings& holdings_;
  uint32_t uses_;
  double missing_;  // of an expert that is wanted: that nobody has it
  std::vector<Load> loads_;
  std::minstd_rand random_;
};

// Of a prompt, whose pass wants so many experts of a layer, of which machine m has held[m]: what each is given.
std::vector<Load> prompt_shares(const LayerSeconds& seconds, double uses, const std::vector<double>& held) {
  const auto load = [&](size_t machine, double experts) {
    return Load{experts, std::max(experts - held[machine], 0.0)};
  };
  std::vector<Load> loads(held.size());
  for (double left = uses; left > 0; left -= 1) {
    const double some = std::min(left, 1.0);
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t machine = 0; machine < loads.size(); ++machine) {
      if (const double end = seconds.of(machine, load(machine, loads[machine].experts + some)); end < least) {
        best = machine;
        least = end;
      }
    }
    loads[best] = load(best, loads[best].experts + some);
  }
  double last = 0;
  for (size_t machine = 0; machine < loads.size(); ++machine) {
    last = std::max(last, seconds.of(machine, loads[machine]));
  }
  if (seconds.of(0, load(0, uses)) <= last) {
    loads.assign(held.size(), Load());
    loads.front() = load(0, uses);
  }
  return loads;
}

WorkersLayer prompt_layer_cost(const PlacementProblem& problem, const Placement& placement, const ExpertGroup& group,
                               uint32_t cached, uint32_t tokens) {
  const double uses = expected_experts(group.popularity, 0, tokens);
  std::vector<double> held = {uses - expected_experts(group.popularity, cached, tokens)};
  for (const WorkerPart& it : problem.workers) {
    const auto kept = static_cast<uint32_t>(std::min<double>(it.layer_experts, group.experts));
    held.push_back(uses - expected_experts(group.popularity, kept, tokens));
  }
  const LayerSeconds seconds(problem, group, placement.experts.spare_slots, tokens, uses);
  const std::vector<Load> loads = prompt_shares(seconds, uses, held);
  WorkersLayer layer;
  layer.cost.uses = uses;
  layer.cost.compute = seconds.computing(loads.front());
  for (size_t machine = 0; machine < loads.size(); ++machine) {
    layer.machines.push_back({loads[machine].experts, loads[machine].misses});
    layer.cost.seconds = std::max(layer.cost.seconds, seconds.of(machine, loads[machine]));
    layer.cost.misses += loads[machine].misses;
  }
  layer.cost.bytes = loads.front().misses * static_cast<double>(group.bytes);
  layer.cost.elsewhere = layer_computing(group, uses, tokens) * (1 - loads.front().experts / uses);
  return layer;
}

}  // namespace

bool asks_workers(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  const bool take_so_many =
      std::ranges::all_of(problem.workers, [tokens](const WorkerPart& it) { return tokens <= it.most_tokens; });
  return !problem.workers.empty() && placement.experts.streamed && !placement.gpu && take_so_many;
}

WorkersLayer workers_layer_cost(const PlacementProblem& problem, const Placement& placement, const ExpertGroup& group,
                                uint32_t cached, uint32_t tokens) {
  if (tokens > kMostDecoded) {
    return prompt_layer_cost(problem, placement, group, cached, tokens);
  }
  const Holdings holdings(problem, group, cached);
  const double expected = expected_experts(group.popularity, 0, tokens);
  const auto uses = static_cast<uint32_t>(std::max(1L, std::lround(expected)));
  const double missing = expected_experts(group.popularity, holdings.together(), tokens) / expected;
  const LayerSeconds seconds(problem, group, placement.experts.spare_slots, tokens, expected);
  Draws draws(seconds, holdings, uses, missing);
  WorkersLayer layer;
  layer.machines.resize(seconds.machines());
  layer.cost.uses = expected;
  for (uint32_t i = 0; i < kSamples; ++i) {
    layer.cost.seconds += draws.next() / kSamples;
    layer.cost.compute += seconds.computing(draws.loads().front()) / kSamples;
    for (size_t machine = 0; machine < layer.machines.size(); ++machine) {
      layer.machines[machine].experts += draws.loads()[machine].experts / kSamples;
      layer.machines[machine].misses += draws.loads()[machine].misses / kSamples;
      layer.cost.misses += draws.loads()[machine].misses / kSamples;
    }
  }
  layer.cost.bytes = layer.machines.front().misses * static_cast<double>(group.bytes);
  layer.cost.elsewhere = layer_computing(group, expected, tokens) * (1 - layer.machines.front().experts / uses);
  return layer;
}

std::vector<MachineCost> machine_costs(const PlacementProblem& problem, const Placement& placement, uint32_t tokens) {
  std::vector<MachineCost> all(problem.workers.size() + 1);
  for (size_t i = 0; i < problem.experts.size(); ++i) {
    const ExpertGroup& group = problem.experts[i];
    for (const QuotaShare& share : quota_shares(group, placement.experts.group_slots[i])) {
      if (share.layers == 0) {
        continue;
      }
      const WorkersLayer layer = workers_layer_cost(problem, placement, group, share.cached, tokens);
      for (size_t machine = 0; machine < all.size(); ++machine) {
        all[machine].experts += share.layers * layer.machines[machine].experts;
        all[machine].misses += share.layers * layer.machines[machine].misses;
      }
    }
  }
  return all;
}

}  // namespace hypura
