// How workers are asked.
#pragma once

#include <chrono>

#include "residency/machine_speed.h"

namespace hypura {

struct AskingManner {
  // How fast this machine is as long as nothing was measured; so is a worker that does not know better.
  MachineSpeed here{0, 1e-3, 1e-4};
  bool alike = false;  // they are taken to be as fast as this machine, and asking to take no time, whatever it takes
  // That each has at least to answer, and if that is longer than usual to connect too.
  std::chrono::milliseconds patience{2000};
};

}  // namespace hypura
