// One line on a terminal that fills up and disappears. Nothing in the standard or in Debian's packages draws one.
#pragma once

#include <string>

#include "cli/output.h"

namespace hypura {

// "loading [##########          ]  50 %"; `share` is clamped to 0..1.
std::string progress_line(double share);

// Draws only when `output` is a terminal; the line is erased at the end. Not thread-safe; borrows `output`.
class ProgressBar {
 public:
  explicit ProgressBar(Output& output) : output_(output), visible_(output.is_terminal()) {}
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(double share);

 private:
  Output& output_;
  bool visible_;
  std::string drawn_;
};

}  // namespace hypura
