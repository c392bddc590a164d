#include "residency/machine_share.h"

#include <algorithm>

namespace hypura {

MachineShare::MachineShare(uint32_t layers, uint32_t experts, size_t workers, const MachineSpeed& here)
    : layers_(layers), experts_(experts), here_(here), workers_(workers), loads_(workers + 1) {}

void MachineShare::join(size_t worker, const MachineSpeed& speed) {
  workers_[worker].emplace(Worker{speed, std::vector<std::vector<bool>>(layers_)});
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

std::span<const uint32_t> MachineShare::divide(uint32_t layer, std::span<const WantedExpert> wanted) {
  std::ranges::fill(loads_, MachineLoad());
  who_.assign(wanted.size(), kHere);
  for (const bool holders : {true, false}) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      const bool held = wanted[i].here || any_has(layer, wanted[i].expert);
      if (held == holders) {
        who_[i] = first_done(layer, wanted[i], holders).value_or(kHere);
        give(who_[i], layer, wanted[i]);
      }
    }
  }
  MachineLoad alone;
  for (const WantedExpert& it : wanted) {
    alone.rows += it.rows;
    alone.misses += it.here ? 0 : 1;
  }
  if (done(kHere, alone) <= last_done()) {
    keep_here(layer, wanted);
  }
  let_forget();
  return who_;
}

void MachineShare::let_forget() {
  for (size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i] && loads_[i + 1].rows == 0) {
      workers_[i]->speed.forget();
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
double MachineShare::last_done() const {
  double last = 0;
  for (uint32_t machine = 0; machine < loads_.size(); ++machine) {
    last = std::max(last, loads_[machine].rows == 0 ? 0 : done(machine, loads_[machine]));
  }
  return last;
}

bool MachineShare::has_it(uint32_t machine, uint32_t layer, const WantedExpert& wanted) const {
  return machine == kHere ? wanted.here : has(machine - 1, layer, wanted.expert);
}

bool MachineShare::takes_part(uint32_t machine, uint32_t layer) const {
  return machine == kHere || knows(machine - 1, layer);
}

// Who is done first with the expert besides what it was given already; `holders`: of those that have it.
std::optional<uint32_t> MachineShare::first_done(uint32_t layer, const WantedExpert& wanted, bool holders) const {
  std::optional<uint32_t> best;
  double least = 0;
  for (uint32_t machine = 0; machine < loads_.size(); ++machine) {
    const bool holds = has_it(machine, layer, wanted);
    if (!takes_part(machine, layer) || (holders && !holds)) {
      continue;
    }
    const MachineLoad load = {loads_[machine].rows + wanted.rows, loads_[machine].misses + (holds ? 0 : 1)};
    if (const double end = done(machine, load); !best || end < least) {
      best = machine;
      least = end;
    }
  }
  return best;
}

void MachineShare::give(uint32_t machine, uint32_t layer, const WantedExpert& wanted) {
  loads_[machine].rows += wanted.rows;
  loads_[machine].misses += has_it(machine, layer, wanted) ? 0 : 1;
}

double MachineShare::done(uint32_t machine, const MachineLoad& load) const {
  return (machine == kHere ? here_ : workers_[machine - 1]->speed).seconds(load);
}

}  // namespace hypura
