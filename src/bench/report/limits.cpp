#include "bench/report/limits.h"

#include <algorithm>

#include "bench/rounds.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string held_to(uint64_t cgroup, uint64_t model_bytes) {
  return fmt::format(
      "each is held to {} by a memory cgroup, page cache included{}", format_bytes(cgroup),
      model_bytes < cgroup ? "; the whole model fits into that, so plain llama.cpp needs to read it only once" : "");
}

}  // namespace

Result<BenchLimits> choose_limits(const BenchOptions& options, const Capabilities& capabilities, uint64_t model_bytes,
                                  uint64_t allowed) {
  BenchLimits limits;
  limits.repack = !options.memory;
  const bool could_exhaust = options.baseline && model_bytes > allowed / 20 * 19;
  if (capabilities.cgroups && (options.memory || could_exhaust)) {
    limits.cgroup = options.memory ? std::min(limit_of(*options.memory), allowed) : allowed / 20 * 19;
    limits.repack = false;
    limits.sentence = held_to(limits.cgroup, model_bytes);
    return limits;
  }
  if (could_exhaust && !options.force) {
    return fail(ErrorCode::kUsage,
                "baseline refused: plain llama.cpp maps the whole model ({}), this machine can hold {}, "
                "and no memory cgroup can limit it ({}), so it would evict everything else from memory; run "
                "as root, leave out --baseline, or override with --force",
                format_bytes(model_bytes), format_bytes(allowed), capabilities.no_cgroups);
  }
  limits.repack = limits.repack && !could_exhaust;
  limits.sentence = options.memory ? "hypura keeps to its budget by itself" : "no limit is set on them";
  return limits;
}

std::vector<std::string> uncontrolled(const BenchOptions& options, const Capabilities& capabilities,
                                      const BenchLimits& limits) {
  std::vector<std::string> sentences;
  const auto add = [&](const std::string& cost, const std::string& reason) {
    sentences.push_back(fmt::format("{} ({})", cost, reason));
  };
  if (options.memory && limits.cgroup == 0 && options.baseline) {
    add(fmt::format("hypura keeps to its budget by itself, but plain llama.cpp had the whole machine's memory, so its "
                    "figures and the ratios are not for {}",
                    format_bytes(*options.memory)),
        capabilities.no_cgroups);
  } else if (options.memory && limits.cgroup == 0) {
    add("hypura keeps to its budget by itself; nothing enforced it", capabilities.no_cgroups);
  }
  if (!capabilities.drop_file_cache) {
    add(fmt::format("runs may have found the model in memory, so loading{} may look faster than the disk is",
                    options.baseline ? " and plain llama.cpp" : ""),
        capabilities.no_drop_file_cache);
  }
  if (!options.mirrors.empty()) {
    add("the bound counts one disk; mirrors on others can be faster than it", "--mirror");
  }
  if (!options.workers.empty()) {
    add("the bound is that of this machine's part, however long workers take", "--worker");
  }
  if (options.baseline && !capabilities.readahead) {
    add("plain llama.cpp ran with the disk's own readahead only; another may make it many times faster on a model with "
        "experts",
        capabilities.no_readahead);
  }
  return sentences;
}

}  // namespace hypura
