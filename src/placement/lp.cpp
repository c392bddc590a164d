#include "placement/lp.h"

namespace hypura {

uint32_t LinearProgram::add(double its_cost, double its_least, double its_most) {
  cost.push_back(its_cost);
  least.push_back(its_least);
  most.push_back(its_most);
  return static_cast<uint32_t>(cost.size() - 1);
}

}  // namespace hypura
