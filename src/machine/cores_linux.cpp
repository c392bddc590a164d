#include "machine/cores_linux.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "hypura/result.h"
#include "machine/cgroup_linux.h"
#include "machine/memory.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

// The kernel refuses a mask smaller than its own, so it grows until it fits. Empty on any other failure.
std::vector<unsigned> allowed_cpus() {
  for (int size = CPU_SETSIZE; size <= 64 * CPU_SETSIZE; size *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(size));
    if (mask == nullptr) {
      return {};
    }
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(size));
    const int error = sched_getaffinity(0, bytes, mask) == 0 ? 0 : errno;
    std::vector<unsigned> cpus;
    for (unsigned cpu = 0; error == 0 && cpu < static_cast<unsigned>(size); ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask)) {
        cpus.push_back(cpu);
      }
    }
    CPU_FREE(mask);
    if (error != EINVAL) {
      return cpus;
    }
  }
  return {};
}

std::optional<double> quota_of(std::optional<uint64_t> quota, std::optional<uint64_t> period) {
  if (!quota || !period || *quota == 0 || *period == 0) {
    return std::nullopt;
  }
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// "200000 100000" is two CPUs, "max 100000" no limit.
std::optional<double> quota_v2(const fs::path& directory) {
  const std::string text = read_text(directory / "cpu.max").value_or("");
  const size_t space = std::min(text.find(' '), text.size());
  return quota_of(parse_number(text.substr(0, space)), parse_number(text.substr(space)));
}

// A quota of -1 is no limit.
std::optional<double> quota_v1(const fs::path& directory) {
  return quota_of(read_number(directory / "cpu.cfs_quota_us"), read_number(directory / "cpu.cfs_period_us"));
}

}  // namespace

uint32_t count_physical_cores(const fs::path& root, std::span<const unsigned> cpus) {
  std::set<std::string> cores;
  for (const unsigned cpu : cpus) {
    const fs::path file = fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu);
    cores.insert(read_text(below(root, file)).value_or(fmt::format("alone {}", cpu)));
  }
  return static_cast<uint32_t>(cores.size());
}

std::optional<uint32_t> read_cpu_quota(const fs::path& root) {
  std::optional<double> tightest;
  const auto tighten = [&](const CgroupChain& chain, std::optional<double> (*read)(const fs::path&)) {
    for (const fs::path& directory : chain) {
      const std::optional<double> quota = read(below(root, directory));
      if (quota) {
        tightest = std::min(*quota, tightest.value_or(*quota));
      }
    }
  };
  tighten(cgroup_v1_chain(root, "cpu"), quota_v1);
  tighten(cgroup_v2_chain(root), quota_v2);
  if (!tightest) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(std::clamp(*tightest, 1.0, 1e6));
}

uint32_t usable_cores() {
  const std::vector<unsigned> cpus = allowed_cpus();
  const uint32_t cores = cpus.empty() ? std::thread::hardware_concurrency() : count_physical_cores({}, cpus);
  return std::max(1U, std::min(cores, read_cpu_quota({}).value_or(cores)));
}

}  // namespace hypura
