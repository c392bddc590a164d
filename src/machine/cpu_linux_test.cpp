#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine/cpu.h"
#include "machine/system.h"
#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

void write_cache(const TestTree& tree, int index, const std::string& level, const std::string& type,
                 const std::string& size) {
  const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
  tree.write(folder + "/level", level + "\n");
  tree.write(folder + "/type", type + "\n");
  tree.write(folder + "/size", size + "\n");
}

TEST(Cpu, IntelAndAmd) {
  const TestTree tree;
  tree.write(
      "/proc/cpuinfo",
      "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9354 32-Core Processor  \n"
      "flags\t\t: fpu sse sse4_2 fma avx f16c avx2 avx512f avx512_vnni\n\nprocessor\t: 1\nmodel name\t: other\n");
  const CpuInfo cpu = read_cpu(tree.root());
  EXPECT_EQ(cpu.model, "AMD EPYC 9354 32-Core Processor");
  EXPECT_THAT(cpu.simd, ElementsAre("SSE4.2", "AVX", "F16C", "FMA", "AVX2", "AVX512F", "AVX512-VNNI"));
}

TEST(Cpu, ArmHasNumbersForNames) {
  const TestTree tree;
  tree.write(
      "/proc/cpuinfo",
      "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n");
  const CpuInfo cpu = read_cpu(tree.root());
  EXPECT_EQ(cpu.model, machine_name() + " (implementer 0x41, part 0xd4f)");
  EXPECT_THAT(cpu.simd, ElementsAre("NEON", "FP16", "DOTPROD", "I8MM", "BF16"));
}

TEST(Cpu, FlagsAreWholeWords) {
  const TestTree tree;
  tree.write("/proc/cpuinfo", "flags\t: xavx avx2x avxx\n");
  EXPECT_THAT(read_cpu(tree.root()).simd, IsEmpty());
}

TEST(Cpu, UnreadableOrSenseless) {
  const TestTree tree;
  EXPECT_EQ(read_cpu(tree.root()).model, machine_name());
  for (const char* garbage : {"", "\n\n", ":", "model name", "model name\t:", "model name\t: \n", " : x\n"}) {
    tree.write("/proc/cpuinfo", garbage);
    EXPECT_EQ(read_cpu(tree.root()).model, machine_name()) << garbage;
    EXPECT_THAT(read_cpu(tree.root()).simd, IsEmpty());
  }
}

TEST(Cpu, CachesWithoutThoseForInstructions) {
  const TestTree tree;
  EXPECT_EQ(read_cpu(tree.root()).largest_cache(), 0U);
  write_cache(tree, 3, "3", "Unified", "32768K");
  write_cache(tree, 0, "1", "Data", "32K");
  write_cache(tree, 1, "1", "Instruction", "64K");
  write_cache(tree, 2, "2", "Unified", "1M");
  write_cache(tree, 4, "x", "Unified", "1M");
  write_cache(tree, 5, "4", "Unified", "much");
  const CpuInfo cpu = read_cpu(tree.root());
  EXPECT_THAT(cpu.caches, ElementsAre(Pair("L1d", 32 * kKiB), Pair("L2", kMiB), Pair("L3", 32 * kMiB)));
  EXPECT_EQ(cpu.largest_cache(), 32 * kMiB);
}

TEST(Cpu, HugePages) {
  const TestTree tree;
  EXPECT_EQ(read_huge_pages(tree.root()), "");
  tree.write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  EXPECT_EQ(read_huge_pages(tree.root()), "transparent: madvise");
  tree.write("/proc/meminfo", "MemTotal: 5 kB\nHugePages_Total:      16\nHugepagesize:       2048 kB\n");
  EXPECT_EQ(read_huge_pages(tree.root()), "transparent: madvise; 2.0 MiB, 16 reserved");
  tree.write("/sys/kernel/mm/transparent_hugepage/enabled", "][\n");
  EXPECT_EQ(read_huge_pages(tree.root()), "2.0 MiB, 16 reserved");
}

TEST(Cpu, ThisMachine) {
  EXPECT_NE(read_cpu().model, "");
  EXPECT_THAT(system_release(), HasSubstr("Linux "));
  EXPECT_NE(host_name(), "");
}

}  // namespace
}  // namespace hypura
