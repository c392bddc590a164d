// `hypura bench` on the command line.
#pragma once

#include "bench/bench_options.h"
#include "hypura/result.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace hypura {

// Adds the command; it must outlive the parse, as must `options`.
CLI::App* add_bench_command(CLI::App& program, BenchOptions& options);

// Fails with kUsage on flags that cannot mean anything together.
Status check_bench_options(const BenchOptions& options);

}  // namespace hypura
