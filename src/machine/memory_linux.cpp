#include <algorithm>

#include "machine/cgroup_linux.h"
#include "machine/memory.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

// "No limit" in v1 is the largest number of whole pages below 2^63, which depends on the page size.
constexpr uint64_t kNoLimit = 1ULL << 60;

struct Limit {
  uint64_t limit = kNoLimit;
  uint64_t used = 0;

  uint64_t left() const { return limit > used ? limit - used : 0; }
};

uint64_t used_without_cache(const fs::path& usage_file, const std::string& stat, std::string_view cache_key) {
  const uint64_t usage = read_number(usage_file).value_or(0);
  return usage - std::min(usage, find_number(stat, cache_key).value_or(0));
}

// Above memory.high a process is not killed but slowed down until it stands still, so it counts as a limit too.
Limit limit_v2(const fs::path& directory) {
  const std::string stat = read_text(directory / "memory.stat").value_or("");
  return {std::min(read_number(directory / "memory.max").value_or(kNoLimit),
                   read_number(directory / "memory.high").value_or(kNoLimit)),
          used_without_cache(directory / "memory.current", stat, "inactive_file")};
}

// The hierarchical limit is that of all ancestors too, those outside of our mount included.
Limit limit_v1(const fs::path& directory) {
  const std::string stat = read_text(directory / "memory.stat").value_or("");
  return {std::min(read_number(directory / "memory.limit_in_bytes").value_or(kNoLimit),
                   find_number(stat, "hierarchical_memory_limit").value_or(kNoLimit)),
          used_without_cache(directory / "memory.usage_in_bytes", stat, "total_inactive_file")};
}

// Takes over the tightest limit of the chain if it is tighter than what is there. Of equal ones the outermost stands,
// because in v1 the inner ones repeat it as their hierarchical limit.
void tighten(MemoryLimits& limits, const fs::path& root, const CgroupChain& chain, Limit (*read)(const fs::path&)) {
  for (const fs::path& directory : chain) {
    const Limit limit = read(below(root, directory));
    if (limit.limit >= kNoLimit) {
      continue;
    }
    const Limit before = {limits.cgroup_limit.value_or(kNoLimit), limits.cgroup_used};
    if (!limits.cgroup_limit || limit.left() <= before.left()) {
      limits.cgroup_limit = limit.limit;
      limits.cgroup_used = limit.used;
      limits.cgroup_path = directory.string();
    }
  }
}

}  // namespace

Result<MemoryLimits> read_memory_limits(const fs::path& root) {
  const fs::path file = below(root, "/proc/meminfo");
  const std::optional<std::string> text = read_text(file);
  if (!text) {
    return fail(ErrorCode::kIo, "cannot read '{}', which lists the machine's memory; mount /proc", file.string());
  }
  const std::optional<uint64_t> total = find_number(*text, "MemTotal:");
  const std::optional<uint64_t> available = find_number(*text, "MemAvailable:");
  if (!total || !available) {
    return fail(ErrorCode::kIo, "'{}' lacks MemTotal or MemAvailable; Linux 3.14 or later is needed", file.string());
  }
  MemoryLimits limits;
  limits.total = *total * kKiB;
  limits.available = *available * kKiB;
  tighten(limits, root, cgroup_v1_chain(root, "memory"), limit_v1);
  tighten(limits, root, cgroup_v2_chain(root), limit_v2);
  return limits;
}

ProcessMemory read_process_memory() {
  const std::string status = read_text("/proc/self/status").value_or("");
  return {find_number(status, "VmRSS:").value_or(0) * kKiB, find_number(status, "VmHWM:").value_or(0) * kKiB};
}

}  // namespace hypura
