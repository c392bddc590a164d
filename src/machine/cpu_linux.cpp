#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>

#include "machine/cgroup_linux.h"
#include "machine/cpu.h"
#include "machine/system.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

// The kernel's words (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c) and ours, in the order in which
// they are shown.
constexpr std::array kSimd = {
    std::pair{"sse4_2", "SSE4.2"},
    std::pair{"avx", "AVX"},
    std::pair{"f16c", "F16C"},
    std::pair{"fma", "FMA"},
    std::pair{"avx2", "AVX2"},
    std::pair{"avx_vnni", "AVX-VNNI"},
    std::pair{"avx512f", "AVX512F"},
    std::pair{"avx512bw", "AVX512BW"},
    std::pair{"avx512_vnni", "AVX512-VNNI"},
    std::pair{"avx512_bf16", "AVX512-BF16"},
    std::pair{"avx512_fp16", "AVX512-FP16"},
    std::pair{"amx_int8", "AMX-INT8"},
    std::pair{"amx_bf16", "AMX-BF16"},
    std::pair{"asimd", "NEON"},
    std::pair{"asimdhp", "FP16"},
    std::pair{"asimddp", "DOTPROD"},
    std::pair{"i8mm", "I8MM"},
    std::pair{"bf16", "BF16"},
    std::pair{"sve", "SVE"},
    std::pair{"sve2", "SVE2"},
    std::pair{"sme", "SME"},
};

// The value of the first line "key<tab>: value" of /proc/cpuinfo.
std::string value_of(const std::string& cpuinfo, std::string_view key) {
  std::istringstream in(cpuinfo);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    const size_t end = line.find_last_not_of(" \t", colon == std::string::npos ? colon : colon - 1);
    if (colon == std::string::npos || colon == 0 || end == std::string::npos || line.substr(0, end + 1) != key) {
      continue;
    }
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin, line.find_last_not_of(" \t") + 1 - begin);
  }
  return "";
}

// On ARM the kernel gives numbers where x86 gives a name.
std::string model_name(const std::string& cpuinfo) {
  if (std::string name = value_of(cpuinfo, "model name"); !name.empty()) {
    return name;
  }
  const std::string implementer = value_of(cpuinfo, "CPU implementer");
  if (implementer.empty()) {
    return machine_name();
  }
  return fmt::format("{} (implementer {}, part {})", machine_name(), implementer, value_of(cpuinfo, "CPU part"));
}

std::vector<std::string> simd_of(const std::string& cpuinfo) {
  const std::string flags = " " + value_of(cpuinfo, "flags") + " " + value_of(cpuinfo, "Features") + " ";
  std::vector<std::string> names;
  for (const auto& [flag, name] : kSimd) {
    if (flags.find(fmt::format(" {} ", flag)) != std::string::npos) {
      names.emplace_back(name);
    }
  }
  return names;
}

std::string line_of(const fs::path& file) {
  const std::string text = read_text(file).value_or("");
  return text.substr(0, text.find('\n'));
}

// One of /sys/devices/system/cpu/cpu0/cache/indexN; none for an instruction cache or one that is not described.
std::optional<std::pair<std::string, uint64_t>> read_cache(const fs::path& folder) {
  const std::string type = line_of(folder / "type");
  const std::optional<uint64_t> level = read_number(folder / "level");
  const Result<uint64_t> size = parse_bytes(line_of(folder / "size"));  // "32K", "32768K"
  if (!level || !size || (type != "Data" && type != "Unified")) {
    return std::nullopt;
  }
  return std::pair{fmt::format("L{}{}", *level, type == "Data" ? "d" : ""), *size};
}

std::vector<std::pair<std::string, uint64_t>> read_caches(const fs::path& root) {
  std::vector<std::pair<std::string, uint64_t>> caches;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(below(root, "/sys/devices/system/cpu/cpu0/cache"), error)) {
    if (auto cache = read_cache(entry.path())) {
      caches.push_back(std::move(*cache));
    }
  }
  std::sort(caches.begin(), caches.end());
  return caches;
}

}  // namespace

CpuInfo read_cpu(const fs::path& root) {
  const std::string cpuinfo = read_text(below(root, "/proc/cpuinfo")).value_or("");
  return {model_name(cpuinfo), simd_of(cpuinfo), read_caches(root)};
}

std::string read_huge_pages(const fs::path& root) {
  const std::string choice = line_of(below(root, "/sys/kernel/mm/transparent_hugepage/enabled"));
  const size_t begin = choice.find('[');
  const size_t end = choice.find(']');
  std::string text;
  if (begin != std::string::npos && end != std::string::npos && end > begin) {
    text = "transparent: " + choice.substr(begin + 1, end - begin - 1);
  }
  const std::string meminfo = read_text(below(root, "/proc/meminfo")).value_or("");
  if (const auto size = find_number(meminfo, "Hugepagesize:")) {
    text += fmt::format("{}{}, {} reserved", text.empty() ? "" : "; ", format_bytes(*size * kKiB),
                        find_number(meminfo, "HugePages_Total:").value_or(0));
  }
  return text;
}

}  // namespace hypura
