#include <fmt/format.h>

#include <array>
#include <optional>

#include "hypura/result.h"
#include "machine/cpu.h"
#include "machine/sysctl_darwin.h"
#include "machine/system.h"
#include "support/units.h"

namespace hypura {

namespace {

// "Determining Instruction Set Characteristics" in Apple's developer documentation. Every Apple silicon has NEON.
constexpr std::array kSimd = {
    std::pair{"hw.optional.arm.AdvSIMD", "NEON"},         std::pair{"hw.optional.arm.FEAT_FP16", "FP16"},
    std::pair{"hw.optional.arm.FEAT_DotProd", "DOTPROD"}, std::pair{"hw.optional.arm.FEAT_I8MM", "I8MM"},
    std::pair{"hw.optional.arm.FEAT_BF16", "BF16"},       std::pair{"hw.optional.arm.FEAT_SME", "SME"},
};

// Of the performance cores, which are the ones that compute (hardware/memory.h).
constexpr std::array kCaches = {
    std::pair{"hw.perflevel0.l1dcachesize", "L1d"},
    std::pair{"hw.perflevel0.l2cachesize", "L2"},
    std::pair{"hw.perflevel0.l3cachesize", "L3"},
};

}  // namespace

CpuInfo read_cpu(const std::filesystem::path& /*root*/) {
  CpuInfo cpu;
  cpu.model = read_sysctl_text("machdep.cpu.brand_string");
  if (cpu.model.empty()) {
    cpu.model = machine_name();
  }
  for (const auto& [key, name] : kSimd) {
    if (read_sysctl(key).value_or(0) != 0) {
      cpu.simd.emplace_back(name);
    }
  }
  for (const auto& [key, name] : kCaches) {
    const std::optional<uint64_t> bytes = read_sysctl(key);
    if (bytes && *bytes > 0) {
      cpu.caches.emplace_back(name, *bytes);
    }
  }
  return cpu;
}

std::string read_huge_pages(const std::filesystem::path& /*root*/) {
  const std::optional<uint64_t> page = read_sysctl("hw.pagesize");
  return page ? fmt::format("none; pages of {}", format_bytes(*page)) : "";
}

}  // namespace hypura
