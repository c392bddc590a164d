#include "residency/machine_share.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace hypura {

MachineShare::MachineShare(uint32_t layers, uint32_t experts, size_t workers, const MachineSpeed& here,
                           const PromptSpeed& prompts_here)
    : layers_(layers),
      experts_(experts),
      here_(here),
      prompts_here_(prompts_here),
      workers_(workers),
      least_visits_(workers, std::numeric_limits<double>::infinity()),
      loads_(workers + 1) {}

void MachineShare::join(size_t worker, const MachineSpeed& speed, const PromptSpeed& prompts) {
  double& visit = least_visits_[worker];
  visit = std::min(visit, speed.visit());
  workers_[worker].emplace(
      Worker{MachineSpeed(visit, speed.miss(), speed.row()), prompts, std::vector<std::vector<bool>>(layers_)});
}

bool MachineShare::any_joined() const {
  return std::ranges::any_of(workers_, [](const std::optional<Worker>& it) { return it.has_value(); });
}

void MachineShare::set_map(size_t worker, uint32_t layer, std::span<const std::byte> map) {
  std::vector<bool>& in_memory = workers_[worker]->maps[layer];
  in_memory.assign(experts_, false);
  for (uint32_t expert = 0; expert < std::min<size_t>(experts_, map.size() * 8); ++expert) {
    in_memory[expert] = ((map[expert / 8] >> (expert % 8)) & std::byte{1}) != std::byte{0};
  }
}

bool MachineShare::has(size_t worker, uint32_t layer, uint32_t expert) const {
  return knows(worker, layer) && workers_[worker]->maps[layer][expert];
}

bool MachineShare::any_has(uint32_t layer, uint32_t expert) const {
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    if (has(worker, layer, expert)) {
      return true;
    }
  }
  return false;
}

std::span<const uint32_t> MachineShare::divide(uint32_t layer, std::span<const WantedExpert> wanted, SharedWork work) {
  assign(layer, wanted, work);
  ahead_experts_.clear();
  let_forget(work);
  return who_;
}

std::span<const uint32_t> MachineShare::divide_ahead(uint32_t layer, std::span<const WantedExpert> likely) {
  ahead_experts_.clear();
  ahead_who_.clear();
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (joined(i) && !knows(i, layer)) {
      return {};
    }
  }
  const std::vector<MachineLoad> loads = loads_;
  const std::vector<uint32_t> who = std::exchange(who_, {});
  assign(layer, likely, SharedWork::kPrompt);
  loads_ = loads;
  ahead_who_ = std::exchange(who_, who);
  ahead_layer_ = layer;
  for (const WantedExpert& it : likely) {
    ahead_experts_.push_back(it.expert);
  }
  return ahead_who_;
}

// To whoever is done first, or all to this machine where that is sooner.
void MachineShare::assign(uint32_t layer, std::span<const WantedExpert> wanted, SharedWork work) {
  std::ranges::fill(loads_, MachineLoad());
  who_.assign(wanted.size(), kHere);
  for (const Choice among : {Choice::kHolders, Choice::kPromised, Choice::kAll}) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (choice(layer, wanted[i]) == among) {
        who_[i] = choose(layer, wanted[i], among, work);
        give(who_[i], layer, wanted[i]);
      }
    }
  }
  MachineLoad alone;
  for (const WantedExpert& it : wanted) {
    alone.rows += it.rows;
    alone.misses += it.here ? 0 : 1;
  }
  if (done(kHere, alone, work) <= last_done(work)) {
    keep_here(layer, wanted);
  }
}

// Who was to read it ahead; none: nobody, or one that has gone.
std::optional<uint32_t> MachineShare::promised(uint32_t layer, uint32_t expert) const {
  const auto at = std::ranges::lower_bound(ahead_experts_, expert);
  if (layer != ahead_layer_ || at == ahead_experts_.end() || *at != expert) {
    return std::nullopt;
  }
  const uint32_t machine = ahead_who_[static_cast<size_t>(at - ahead_experts_.begin())];
  return takes_part(machine, layer) ? std::optional(machine) : std::nullopt;
}

MachineShare::Choice MachineShare::choice(uint32_t layer, const WantedExpert& wanted) const {
  if (wanted.here || any_has(layer, wanted.expert)) {
    return Choice::kHolders;
  }
  return promised(layer, wanted.expert) ? Choice::kPromised : Choice::kAll;
}

void MachineShare::let_forget(SharedWork work) {
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i] && loads_[i + 1].rows == 0) {
      if (work == SharedWork::kPrompt) {
        workers_[i]->prompts.forget();
      } else {
        workers_[i]->speed.forget();
      }
    }
  }
}

std::span<const uint32_t> MachineShare::keep_here(uint32_t layer, std::span<const WantedExpert> wanted) {
  std::ranges::fill(loads_, MachineLoad());
  who_.assign(wanted.size(), kHere);
  for (const WantedExpert& it : wanted) {
    give(kHere, layer, it);
  }
  return who_;
}

// When the last machine is done with what it was given.
double MachineShare::last_done(SharedWork work) const {
  double last = 0;
  for (uint32_t machine = 0; machine < loads_.size(); ++machine) {
    last = std::max(last, loads_[machine].rows == 0 ? 0 : done(machine, loads_[machine], work));
  }
  return last;
}

bool MachineShare::has_it(uint32_t machine, uint32_t layer, const WantedExpert& wanted) const {
  return machine == kHere ? wanted.here : has(machine - 1, layer, wanted.expert);
}

bool MachineShare::takes_part(uint32_t machine, uint32_t layer) const {
  return machine == kHere || knows(machine - 1, layer);
}

// Who computes the expert besides what was given away already: whoever is done first, of tokens among those that have
// it where some do.
uint32_t MachineShare::choose(uint32_t layer, const WantedExpert& wanted, Choice among, SharedWork work) const {
  if (among == Choice::kPromised) {
    return promised(layer, wanted.expert).value_or(kHere);
  }
  const bool holders = among == Choice::kHolders && work == SharedWork::kTokens;
  std::optional<uint32_t> best;
  double least = 0;
  for (uint32_t machine = 0; machine < loads_.size(); ++machine) {
    const bool holds = has_it(machine, layer, wanted);
    if (!takes_part(machine, layer) || (holders && !holds)) {
      continue;
    }
    const MachineLoad load = {loads_[machine].rows + wanted.rows, loads_[machine].misses + (holds ? 0 : 1)};
    if (const double end = done(machine, load, work); !best || end < least) {
      best = machine;
      least = end;
    }
  }
  return best.value_or(kHere);
}

void MachineShare::give(uint32_t machine, uint32_t layer, const WantedExpert& wanted) {
  loads_[machine].rows += wanted.rows;
  loads_[machine].misses += has_it(machine, layer, wanted) ? 0 : 1;
}

double MachineShare::done(uint32_t machine, const MachineLoad& load, SharedWork work) const {
  if (work == SharedWork::kPrompt) {
    return (machine == kHere ? prompts_here_ : workers_[machine - 1]->prompts).seconds(load);
  }
  return (machine == kHere ? here_ : workers_[machine - 1]->speed).seconds(load);
}

}  // namespace hypura
