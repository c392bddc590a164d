#include "cli/profile/profile_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

MachineProfile sample() {
  MachineProfile profile;
  profile.cpu_model = "Some CPU";
  profile.cores = 2;
  profile.threads = 1;
  profile.simd = {"AVX", "AVX2"};
  profile.caches = {{"L1d", 32 * kKiB}, {"L3", 32 * kMiB}};
  profile.memory_total = 24 * kGiB;
  profile.memory_available = 20 * kGiB;
  profile.memory_allowed = 20 * kGiB;
  profile.ram_bytes_per_second = {1e10, 1.95e10};
  profile.operation_seconds = 2.46e-6;
  profile.kernels = {{"q4_0", 1e10, 1.234e11, 1.5e10, 3e11}, {"f16", 2e10, 1e11}};
  profile.devices = {{"CPU", "Some CPU", "cpu", 5, 4, false, 0}};
  profile.storage.path = "/models";
  profile.storage.file_system = "ext4 on /dev/vda, id 1";
  profile.storage.method = "io_uring, direct";
  profile.storage.points = {{64 * kKiB, 1, true, 2e8}, {kMiB, 8, true, 2e9}, {kMiB, 8, false, 2.2e9}};
  profile.storage.knee = profile.storage.points[1];
  profile.storage.scattered_bytes_per_second = 2e9;
  profile.storage.sequential_bytes_per_second = 2.2e9;
  profile.measured_at = "2025-01-02T03:04:05Z";
  return profile;
}

TEST(ProfileText, RatesHaveThreeDigitsOrSo) {
  EXPECT_EQ(format_rate(2.314e9), "2.31 GB/s");
  EXPECT_EQ(format_rate(19.54e9), "19.5 GB/s");
  EXPECT_EQ(format_rate(9.997e9), "10.0 GB/s");
  EXPECT_EQ(format_rate(999.4e6), "999 MB/s");
  EXPECT_EQ(format_rate(999.6e6), "1.00 GB/s");
  EXPECT_EQ(format_rate(9.94e6), "9.9 MB/s");
  EXPECT_EQ(format_rate(0), "0.0 MB/s");
}

TEST(ProfileText, TellsWhatWasMeasured) {
  const std::string text = profile_text(sample());
  EXPECT_THAT(text, AllOf(HasSubstr("Processor   Some CPU, 2 usable cores\n"), HasSubstr("AVX AVX2\n"),
                          HasSubstr("L1d 32.0 KiB, L3 32.0 MiB\n"), HasSubstr("24.0 GiB, 20.0 GiB available\n"),
                          HasSubstr("1 thread       10.0 GB/s\n"), HasSubstr("2 threads      19.5 GB/s\n")));
  EXPECT_THAT(text, AllOf(HasSubstr("with 1 thread\n"), HasSubstr("123 GFLOP/s"), HasSubstr("costs 2.5 us")));
  EXPECT_THAT(text, HasSubstr("  weights                1 token        512 tokens\n"
                              "  q4_0                 10.0 GB/s       123 GFLOP/s\n"
                              "    repacked           15.0 GB/s       300 GFLOP/s\n"
                              "  f16                  20.0 GB/s       100 GFLOP/s\n"));
  EXPECT_THAT(text, Not(HasSubstr("Huge pages"))) << "unknown";
  EXPECT_THAT(text, Not(HasSubstr("cgroup")));
}

TEST(ProfileText, TablesAreAligned) {
  const std::string text = profile_text(sample());
  EXPECT_THAT(text, HasSubstr("  scattered         1      8  under way\n"
                              "      64 KiB     0.20\n"
                              "       1 MiB            2.00\n"
                              "  in sequence       1      8\n"
                              "       1 MiB            2.20\n"));
}

TEST(ProfileText, NamesTheKneeAndWhatItMeans) {
  const std::string text = profile_text(sample());
  EXPECT_THAT(text, HasSubstr("8 blocks of 1 MiB under way read 2.00 GB/s of at most 2.00 GB/s"));
  EXPECT_THAT(text, HasSubstr("1 GiB from this disk waits 0.54 s"));
  EXPECT_THAT(text, HasSubstr("takes 0.11 s"));
  EXPECT_THAT(text, HasSubstr("more than 20 %"));
  MachineProfile fast = sample();
  fast.storage.scattered_bytes_per_second = 2e10;
  EXPECT_THAT(profile_text(fast), AllOf(HasSubstr("The disk keeps up"), Not(HasSubstr("is the bottleneck"))));
}

TEST(ProfileText, WhatTheDiskSustainsIsWhatCounts) {
  MachineProfile profile = sample();
  EXPECT_THAT(profile_text(profile), Not(HasSubstr("long run sustained")));
  profile.storage.sustained_bytes_per_second = 1e9;
  EXPECT_THAT(profile_text(profile),
              AllOf(HasSubstr("A long run sustained 1.00 GB/s"), HasSubstr("1 GiB from this disk waits 1.07 s")));
}

TEST(ProfileText, TellsWhatComputingAndReadingTakeFromEachOther) {
  MachineProfile profile = sample();
  EXPECT_THAT(profile_text(profile), AllOf(Not(HasSubstr("At once")), Not(HasSubstr("Attention"))));
  profile.storage.computing_kept = 0.65;
  profile.storage.reading_kept = 0.824;
  profile.attention_per_second = 8.192e9;
  EXPECT_THAT(profile_text(profile), AllOf(HasSubstr("computing keeps 65 % of its speed, the disk 82 %"),
                                           HasSubstr("0.5 ms for each thousand tokens")));
}

TEST(ProfileText, CgroupsAndDevices) {
  MachineProfile profile = sample();
  profile.cgroup_limit = 2 * kGiB;
  profile.memory_allowed = kGiB;
  profile.devices.push_back({"CUDA0", "Some GPU", "gpu", 8 * kGiB, 6 * kGiB, false, 2.5e10});
  profile.devices.push_back({"MTL0", "Some chip", "gpu", 8 * kGiB, 6 * kGiB, true, 0});
  const std::string text = profile_text(profile);
  EXPECT_THAT(text, HasSubstr("limits this process to 2.0 GiB, of which 1.0 GiB are left"));
  EXPECT_THAT(text, HasSubstr("CUDA0: Some GPU (gpu), 6.0 GiB of 8.0 GiB free, upload 25.0 GB/s\n"));
  EXPECT_THAT(text, HasSubstr("MTL0: Some chip (gpu), 6.0 GiB of 8.0 GiB free, shares the machine's memory\n"));
}

TEST(ProfileText, StorageThatWasNotMeasured) {
  MachineProfile profile = sample();
  profile.storage = {};
  profile.storage.path = "/models";
  EXPECT_THAT(profile_text(profile), AllOf(HasSubstr("/models"), HasSubstr("not measured"), Not(HasSubstr("knee"))));
}

}  // namespace
}  // namespace hypura
