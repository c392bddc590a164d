#include "machine/cgroup_linux.h"
#include "machine/memory_pressure.h"

namespace hypura {

namespace {

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234"
uint64_t wait_us(const std::filesystem::path& file) {
  const std::string text = read_text(file).value_or("");
  const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
  constexpr std::string_view kTotal = "total=";
  const size_t at = line.find(kTotal);
  return line.starts_with("some ") && at != std::string_view::npos
             ? parse_number(line.substr(at + kTotal.size())).value_or(0)
             : 0;
}

}  // namespace

PressureCounts read_pressure(const std::filesystem::path& root) {
  PressureCounts counts;
  counts.machine_wait_us = wait_us(below(root, "/proc/pressure/memory"));
  const CgroupChain chain = cgroup_v2_chain(root);
  for (size_t i = 0; i + 1 < chain.size(); ++i) {  // the last is the top, which has no limits of its own
    if (i == 0) {
      counts.cgroup_wait_us = wait_us(below(root, chain[i] / "memory.pressure"));
    }
    // Of each its own limits', not those of the groups below it.
    const std::string events = read_text(below(root, chain[i] / "memory.events.local")).value_or("");
    counts.limits_reached += find_number(events, "high").value_or(0);
  }
  return counts;
}

}  // namespace hypura
