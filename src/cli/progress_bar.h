// One line on a terminal that fills up and disappears. Nothing in the standard or in Debian's packages draws one.
#pragma once

#include <string>
#include <string_view>

#include "cli/output.h"

namespace hypura {

// "loading [##########          ]  50 %"; `share` is clamped to 0..1, `what` stands in front.
std::string progress_line(double share, std::string_view what = "loading");

// Draws only when `output` is a terminal; the line is erased at the end. Not thread-safe; borrows `output`.
class ProgressBar {
 public:
  explicit ProgressBar(Output& output) : output_(output), visible_(output.is_terminal()) {}
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(double share, std::string_view what = "loading");

 private:
  Output& output_;
  bool visible_;
  std::string drawn_;
};

}  // namespace hypura
