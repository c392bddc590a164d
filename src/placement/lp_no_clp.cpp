#include "placement/lp.h"

namespace hypura {

bool lp_solver_present() {
  return false;
}

std::optional<LpSolution> minimise(const LinearProgram& /*program*/) {
  return std::nullopt;
}

}  // namespace hypura
