#include "residency/prompt_speed.h"

#include <algorithm>

namespace hypura {

void PromptSpeed::learn(double& value, double measured, bool& known) {
  value += (known ? kBelieved : 1) * (measured - value);
  known = true;
}

// A disk that was not waited for is at least so fast.
void PromptSpeed::note(const MachineLoad& load, double seconds, double waited) {
  if (load.rows == 0) {
    return;
  }
  learn(now_.row, std::max(seconds - waited, 0.0) / load.rows, knows_row_);
  if (load.misses == 0) {
    return;
  }
  const double each = seconds / load.misses;
  if (waited > kBusyDisk * seconds || each < now_.miss) {
    learn(now_.miss, each, knows_miss_);
  }
}

void PromptSpeed::note_way(const MachineLoad& load, double seconds) {
  if (load.rows > 0) {
    learn(now_.way, std::max(seconds - now_.visit, 0.0) / load.rows, knows_way_);
  }
}

void PromptSpeed::forget() {
  const auto back = [](double& value, double first) { value += MachineSpeed::kForgotten * (first - value); };
  back(now_.way, first_.way);
  back(now_.miss, first_.miss);
  back(now_.row, first_.row);
}

double PromptSpeed::seconds(const MachineLoad& load) const {
  return load.rows == 0 ? 0
                        : now_.visit + load.rows * now_.way + std::max(load.misses * now_.miss, load.rows * now_.row);
}

}  // namespace hypura
