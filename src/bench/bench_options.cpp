#include "bench/bench_options.h"

#include <algorithm>

#include "support/units.h"

namespace hypura {

uint32_t needed_context(const BenchOptions& options) {
  return options.prompt_tokens + kBenchWarmupTokens + options.tokens;
}

uint32_t bench_context(const BenchOptions& options) {
  const auto rounded = static_cast<uint32_t>(round_up(needed_context(options), 256));
  return options.context > 0 ? options.context : std::max(rounded, 1024U);
}

}  // namespace hypura
