// How workers are asked.
#pragma once

#include <chrono>

namespace hypura {

struct AskingManner {
  bool alike = false;  // they are taken to be as fast as this machine, and asking to take no time, whatever it takes
  // That each has at least to answer, and if that is longer than usual to connect too.
  std::chrono::milliseconds patience{2000};
};

}  // namespace hypura
