// Linear programs, and the solver they are given to. Nothing here knows what the numbers mean.
//
// The solver is COIN-OR CLP where the build found it (lp_clp.cpp); elsewhere there is none (lp_no_clp.cpp), and callers
// go on without a bound.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace hypura {

// Minimise the sum of cost[i] * x[i] under least[i] <= x[i] <= most[i] and the rows.
struct LinearProgram {
  static constexpr double kUnbounded = std::numeric_limits<double>::max();

  struct Term {
    uint32_t variable = 0;
    double factor = 0;
  };
  // least <= sum of factor * x[variable] <= most. A variable appears at most once.
  struct Row {
    std::vector<Term> terms;
    double least = -kUnbounded;
    double most = kUnbounded;
  };

  std::vector<double> cost;
  std::vector<double> least;
  std::vector<double> most;
  std::vector<Row> rows;

  // Adds a variable and gives its number.
  uint32_t add(double its_cost, double its_least, double its_most);
};

struct LpSolution {
  double cost = 0;             // of the optimum
  std::vector<double> values;  // x
};

// Whether this build has a solver.
bool lp_solver_present();

// An optimal solution; none without a solver, or when the program is infeasible or unbounded. Any thread.
std::optional<LpSolution> minimise(const LinearProgram& program);

}  // namespace hypura
