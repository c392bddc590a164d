#include "placement/lp.h"

#include <Clp_C_Interface.h>

#include <memory>

namespace hypura {

namespace {

struct Columns {
  std::vector<CoinBigIndex> start;  // of each column's entries; one more at the end
  std::vector<int> row;
  std::vector<double> factor;
};

// The rows' terms, sorted by variable as CLP wants them.
Columns by_column(const LinearProgram& program) {
  Columns columns;
  columns.start.resize(program.cost.size() + 1);
  for (const LinearProgram::Row& row : program.rows) {
    for (const LinearProgram::Term& term : row.terms) {
      ++columns.start[term.variable + 1];
    }
  }
  for (size_t i = 1; i < columns.start.size(); ++i) {
    columns.start[i] += columns.start[i - 1];
  }
  const auto entries = static_cast<size_t>(columns.start.back());
  columns.row.resize(entries);
  columns.factor.resize(entries);
  std::vector<CoinBigIndex> next(columns.start.begin(), columns.start.end() - 1);
  for (size_t i = 0; i < program.rows.size(); ++i) {
    for (const LinearProgram::Term& term : program.rows[i].terms) {
      const auto at = static_cast<size_t>(next[term.variable]++);
      columns.row[at] = static_cast<int>(i);
      columns.factor[at] = term.factor;
    }
  }
  return columns;
}

}  // namespace

bool lp_solver_present() {
  return true;
}

std::optional<LpSolution> minimise(const LinearProgram& program) {
  const std::unique_ptr<Clp_Simplex, decltype(&Clp_deleteModel)> model(Clp_newModel(), Clp_deleteModel);
  Clp_setLogLevel(model.get(), 0);
  const Columns columns = by_column(program);
  std::vector<double> least;
  std::vector<double> most;
  for (const LinearProgram::Row& row : program.rows) {
    least.push_back(row.least);
    most.push_back(row.most);
  }
  const auto variables = static_cast<int>(program.cost.size());
  Clp_loadProblem(model.get(), variables, static_cast<int>(program.rows.size()), columns.start.data(),
                  columns.row.data(), columns.factor.data(), program.least.data(), program.most.data(),
                  program.cost.data(), least.data(), most.data());
  Clp_setOptimizationDirection(model.get(), 1);
  Clp_initialSolve(model.get());  // presolves, then the dual simplex
  if (Clp_status(model.get()) != 0) {
    return std::nullopt;
  }
  const double* values = Clp_primalColumnSolution(model.get());
  return LpSolution{Clp_objectiveValue(model.get()), {values, values + variables}};
}

}  // namespace hypura
