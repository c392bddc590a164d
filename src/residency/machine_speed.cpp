#include "residency/machine_speed.h"

#include <algorithm>

namespace hypura {

namespace {

// The first measurement is taken for true; later ones move it.
void move_towards(double& value, double measured, bool& known) {
  value = known ? value + MachineSpeed::kBelieved * (measured - value) : measured;
  known = true;
}

}  // namespace

// Shares without misses tell of rows; the others, with that, of misses.
void MachineSpeed::note(const MachineLoad& load, double measured) {
  if (load.rows == 0) {
    return;
  }
  if (load.misses == 0) {
    move_towards(row_, measured / load.rows, computed_);
  } else {
    move_towards(miss_, std::max(measured - load.rows * row_, 0.0) / load.misses, missed_);
  }
}

void MachineSpeed::note_visit(double measured) {
  move_towards(visit_, measured, visited_);
}

double MachineSpeed::seconds(const MachineLoad& load) const {
  return load.rows == 0 ? 0 : visit_ + load.misses * miss_ + load.rows * row_;
}

}  // namespace hypura
