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
  profile.kernels = {{"q4_0", 1e10, 1.234e11, 1.5e10, 3e11, 0, 0, 3e9, 9e10, 2.5e11}, {"f16", 2e10, 1e11}};
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
  EXPECT_THAT(text, HasSubstr("  weights                1 token        512 tokens   an expert's 32 tokens\n"
                              "  q4_0                 10.0 GB/s       123 GFLOP/s              90 GFLOP/s\n"
                              "    repacked           15.0 GB/s       300 GFLOP/s             250 GFLOP/s\n"
                              "  f16                  20.0 GB/s       100 GFLOP/s\n"));
  EXPECT_THAT(text, HasSubstr("  Repacking: q4_0 3.00 GB/s.\n"));
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

TEST(ProfileText, SaysWhatTwoMeasurementsDifferBy) {
  MachineProfile profile = sample();
  EXPECT_THAT(profile_text(profile), Not(HasSubstr("two measurements")));
  profile.first_measured_at = "2025-01-02T03:00:00Z";
  EXPECT_THAT(profile_text(profile), HasSubstr("the first of them 2025-01-02T03:00:00Z: both differ by noise alone"));
  profile.storage.lasting_share = 0.6;
  EXPECT_THAT(profile_text(profile), HasSubstr("computing keeps 100 %, the disk 60 %; plans count on that"));
}

TEST(ProfileText, SaysWhatSpeaksAgainstIt) {
  MachineProfile profile = sample();
  EXPECT_THAT(profile_text(profile), Not(HasSubstr("measures again.\n\nMeasured")));
  profile.contradicted_by = 0.4;
  EXPECT_THAT(profile_text(profile), HasSubstr("Tokens of the latest run took 0.40 times as long as these speeds say"));
  profile.processor_share = 0.55;
  EXPECT_THAT(profile_text(profile), HasSubstr("Other programs had 45 % of the processors meanwhile"));
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

TEST(ProfileText, Cgroups) {
  MachineProfile profile = sample();
  profile.cgroup_limit = 2 * kGiB;
  profile.memory_allowed = kGiB;
  EXPECT_THAT(profile_text(profile), HasSubstr("limits this process to 2.0 GiB, of which 1.0 GiB are left"));
}

TEST(ProfileText, Gpus) {
  EXPECT_THAT(profile_text(sample()), Not(HasSubstr("cutting")));
  MachineProfile profile = sample();
  GpuProfile gpu;
  gpu.name = "CUDA0";
  gpu.description = "Some GPU";
  gpu.pinned = true;
  gpu.copies = {{64 * kKiB, 1.2e10, 1.3e10}, {kMiB, 4.4e10, 5e10}};
  gpu.unpinned_upload_bytes_per_second = 7e9;
  gpu.cut_seconds = 1.26e-5;
  gpu.operation_seconds = 1.5e-6;
  gpu.attention_per_second = 8.192e11;
  gpu.kernels = {{"q4_0", {3e-6, 2e12, 9e12, 4e14}, {4e-6, 1e12, 1e14, 2e14}}, {"q2_0", {}, {}}};
  profile.gpus = {gpu};
  EXPECT_THAT(profile_text(profile),
              HasSubstr("\nCUDA0: Some GPU\n"
                        "  pinned copies            to it       from it\n"
                        "      64 KiB           12.0 GB/s     13.0 GB/s\n"
                        "       1 MiB           44.0 GB/s     50.0 GB/s\n"
                        "  From memory that is not pinned 7.00 GB/s get there.\n"
                        "  weights                1 token        512 tokens       2048 tokens          at least\n"
                        "  q4_0               2000.0 GB/s      9000 GFLOP/s       400 TFLOP/s            3.0 us\n"
                        "    experts          1000.0 GB/s       100 TFLOP/s       200 TFLOP/s            4.0 us\n"
                        "  q2_0                 no kernel\n"
                        "    experts            no kernel\n"
                        "  Attention takes 0.005 ms for each thousand tokens of context in a layer 4096 wide.\n"
                        "  A small operation costs 1.5 us, cutting a graph costs 12.6 us.\n"));
  profile.gpus.front().pinned = false;
  profile.gpus.front().registers_memory = true;
  EXPECT_THAT(profile_text(profile), AllOf(HasSubstr("\n  copies  "), HasSubstr("; it can be registered.\n")));
  profile.gpus.front().operation_seconds = profile.gpus.front().unpinned_upload_bytes_per_second = 0;
  EXPECT_THAT(profile_text(profile),
              AllOf(HasSubstr("A small operation was not measured, cutting a graph costs 12.6 us"),
                    HasSubstr("that is not pinned copies were not measured")));
}

TEST(ProfileText, StorageThatWasNotMeasured) {
  MachineProfile profile = sample();
  profile.storage = {};
  profile.storage.path = "/models";
  EXPECT_THAT(profile_text(profile), AllOf(HasSubstr("/models"), HasSubstr("not measured"), Not(HasSubstr("knee"))));
}

}  // namespace
}  // namespace hypura
