// The numbers of a plan in the order in which they are shown, in the terminal and on the page alike.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/inspect/facts.h"

namespace hypura {

struct Figure {
  std::string label;  // "decode"
  std::string value;  // "7.55 tok/s"
  std::string note;   // "133 ms and 222.4 MiB from disk a token"; may be empty
};

// What is predicted: decoding and its bound, prompts, the start, memory.
std::vector<Figure> predictions(const Plan& plan);

// What would make it faster, and the tokens/s that a plan made with it reaches; 0 where that is not known or no choice.
std::vector<std::pair<const char*, double>> improved_speeds(const Plan& plan);

// What one GiB of memory, one GB/s of disk more and a repacked copy would give. Empty when the plan does not say.
std::vector<Figure> improvements(const Plan& plan);

// The share of the physical bound that is predicted, 0 to 1; 0 when there is no bound.
double share_of_bound(const Prediction& prediction);

}  // namespace hypura
