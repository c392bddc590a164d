#include "residency/machine_speed.h"

#include <algorithm>

namespace hypura {

namespace {

void move_towards(double& value, double other, double part) {
  value += part * (other - value);
}

void learn(double& value, double measured) {
  move_towards(value, std::min(measured, MachineSpeed::kMostTimes * value), MachineSpeed::kBelieved);
}

}  // namespace

// Shares without misses tell of rows; the others, with that, of misses.
void MachineSpeed::note(const MachineLoad& load, double measured) {
  if (load.rows == 0) {
    return;
  }
  if (load.misses == 0) {
    learn(now_.row, measured / load.rows);
  } else {
    learn(now_.miss, std::max(measured - load.rows * now_.row, 0.0) / load.misses);
  }
}

void MachineSpeed::note_visit(double measured) {
  learn(now_.visit, measured);
}

void MachineSpeed::forget() {
  move_towards(now_.visit, first_.visit, kForgotten);
  move_towards(now_.miss, first_.miss, kForgotten);
  move_towards(now_.row, first_.row, kForgotten);
}

double MachineSpeed::seconds(const MachineLoad& load) const {
  return load.rows == 0 ? 0 : now_.visit + load.misses * now_.miss + load.rows * now_.row;
}

}  // namespace hypura
