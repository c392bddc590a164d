#include "plan/machine_speeds.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ggml.h"
#include "support/units.h"

namespace hypura {
namespace {

MachineProfile some_profile() {
  MachineProfile profile;
  profile.threads = 4;
  profile.operation_seconds = 1e-6;
  profile.kernels = {{"q4_0", 40e9, 400e9}, {"f16", 60e9, 200e9}};
  profile.storage.points = {{64 * kKiB, 1, true, 0.5e9}, {64 * kKiB, 32, true, 2e9}, {64 * kKiB, 32, false, 4e9},
                            {kMiB, 1, true, 1.5e9},      {kMiB, 16, true, 3e9},      {16 * kMiB, 32, true, 5e9}};
  profile.storage.sequential_bytes_per_second = 4e9;
  profile.storage.scattered_bytes_per_second = 5e9;
  return profile;
}

TEST(MachineSpeeds, ComputingGoesThroughBothMeasurements) {
  const MachineProfile profile = some_profile();
  const MachineSpeeds speeds(&profile, 4);
  EXPECT_EQ(speeds.assumption(), "");
  const PassSeconds seconds = speeds.matrix(GGML_TYPE_Q4_0, 40e6, 70e6);
  EXPECT_NEAR(seconds.of(1), 0.001 / 0.75 + 1e-6, 1e-9);  // a model reaches 0.75 of the kernel alone
  EXPECT_NEAR(seconds.of(512), 512 * 2 * 70e6 / 400e9 + 1e-6, 1e-9);
}

// The knee of the disk's curve, or what computing a range must take beside what a product takes whatever its size.
TEST(MachineSpeeds, RangesOfRowsAreAsLargeAsDiskAndKernelsWant) {
  MachineProfile profile = some_profile();  // 60 GB/s with its fastest kernel
  profile.operation_seconds = 1e-9;
  profile.storage.knee = {kMiB, 12, true, 3e9};
  EXPECT_EQ(MachineSpeeds(&profile, 4).range_bytes(), 12 * kMiB);
  profile.operation_seconds = 4e-6;
  EXPECT_EQ(MachineSpeeds(&profile, 4).range_bytes(), 23 * kMiB) << "24 MB: computed in a hundred such times";
  profile.operation_seconds = 1;
  EXPECT_EQ(MachineSpeeds(&profile, 4).range_bytes(), 32 * kMiB) << "at most";
  profile.operation_seconds = 1e-9;
  profile.storage.knee = {64 * kKiB, 4, true, 3e9};
  EXPECT_EQ(MachineSpeeds(&profile, 4).range_bytes(), 8 * kMiB) << "at least";
  EXPECT_EQ(MachineSpeeds(nullptr, 4).range_bytes(), 16 * kMiB) << "what the reader has under way for the ring";
}

TEST(MachineSpeeds, WhatIsHardlyFasterRepackedGainsNothing) {
  MachineProfile profile = some_profile();
  const auto gains_nothing = [&](int type) { return MachineSpeeds(&profile, 4).gains_nothing_repacked(type); };
  EXPECT_FALSE(gains_nothing(GGML_TYPE_Q4_0)) << "that was not measured";
  profile.kernels.front().repacked_matmul_flops = 440e9;
  EXPECT_TRUE(gains_nothing(GGML_TYPE_Q4_0));
  EXPECT_FALSE(gains_nothing(GGML_TYPE_Q4_K));
  profile.processor_share = 0.5;
  EXPECT_FALSE(gains_nothing(GGML_TYPE_Q4_0)) << "by a profile of a bad minute";
  profile.processor_share = 1;
  profile.kernels.front().repacked_matmul_flops = 800e9;
  EXPECT_FALSE(gains_nothing(GGML_TYPE_Q4_0));
}

TEST(MachineSpeeds, RepackedMatricesAreAsFastAsTheProfileSays) {
  MachineProfile profile = some_profile();
  profile.kernels.front().repacked_matvec_bytes_per_second = 60e9;
  profile.kernels.front().repacked_matmul_flops = 1000e9;
  const MachineSpeeds speeds(&profile, 4);
  const auto gain = speeds.repacked_dense(GGML_TYPE_Q4_0);
  EXPECT_NEAR(speeds.matrix(GGML_TYPE_Q4_0, 40e6, 70e6).first / gain.token, 40e6 / (0.97 * 60e9), 1e-6);
  EXPECT_NEAR(gain.prompt, 2.5, 1e-9);
  const PassSeconds pass = speeds.repacked_matrix(GGML_TYPE_Q4_0, 40e6, 70e6);
  EXPECT_NEAR(pass.more, 2 * 70e6 / 1000e9, 1e-9);
  EXPECT_NEAR(pass.first - pass.more, 40e6 / (1.6e9 * std::pow(4, 0.7)), 1e-9) << "repacking, once for a pass";
  EXPECT_LT(pass.more, speeds.repacked_alone(GGML_TYPE_Q4_0, 40e6, 70e6).more);

  profile.kernels.front().repack_bytes_per_second = 8e9;
  const PassSeconds measured = speeds.repacked_matrix(GGML_TYPE_Q4_0, 40e6, 70e6);
  EXPECT_NEAR(measured.first - measured.more, 40e6 / 8e9, 1e-9);

  profile.kernels.front().repacked_matmul_flops = 0;  // this processor has no such layout
  EXPECT_EQ(speeds.repacked_dense(GGML_TYPE_Q4_0).prompt, 1);
  EXPECT_EQ(speeds.repacked_dense(GGML_TYPE_Q4_0).token, 1);
  EXPECT_GT(MachineSpeeds(nullptr, 4).repacked_dense(GGML_TYPE_Q4_0).prompt, 1) << "assumed where nothing is known";
}

TEST(MachineSpeeds, RepackedExpertsGainNoMoreThanTheirKernels) {
  MachineProfile profile = some_profile();
  const auto gain = [&] { return MachineSpeeds(&profile, 4).repacked_expert(GGML_TYPE_Q4_0); };
  EXPECT_EQ(gain().token, 1) << "it is not repacked here";
  profile.kernels.front().repacked_matvec_bytes_per_second = 40e9;
  profile.kernels.front().repacked_matmul_flops = 440e9;
  EXPECT_NEAR(gain().token, 1, 1e-9);
  EXPECT_NEAR(gain().prompt, 1.1, 1e-9);
  profile.kernels.front().repacked_matvec_bytes_per_second = 80e9;
  EXPECT_NEAR(gain().token, 1.2, 1e-9) << "but no more than in models";
  EXPECT_GT(MachineSpeeds(nullptr, 4).repacked_expert(GGML_TYPE_Q4_0).token, 1) << "assumed where nothing is known";
}

TEST(MachineSpeeds, ResidentMatricesMayLieInTiles) {
  MachineProfile profile = some_profile();
  KernelSpeed& kernel = profile.kernels.front();
  kernel.repacked_matvec_bytes_per_second = 60e9;
  kernel.repacked_matmul_flops = 1000e9;
  const auto gain = [&] { return MachineSpeeds(&profile, 4).resident_dense(GGML_TYPE_Q4_0); };
  EXPECT_NEAR(gain().prompt, 2.5, 1e-9) << "repacked";
  kernel.resident_matvec_bytes_per_second = 50e9;
  kernel.resident_matmul_flops = 4000e9;
  EXPECT_NEAR(gain().prompt, 10, 1e-9);
  EXPECT_NEAR(gain().token, 0.97 / 0.75 * 50 / 40, 1e-9);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).repacked_dense(GGML_TYPE_Q4_0).prompt, 2.5, 1e-9) << "streamed ones do not";
}

TEST(MachineSpeeds, FewerThreadsAreSlowerAndOtherTypesGetTheMean) {
  const MachineProfile profile = some_profile();
  const auto first = [&](uint32_t threads, int type, double bytes) {
    return MachineSpeeds(&profile, threads).matrix(type, bytes, 70e6).first;
  };
  EXPECT_NEAR(first(2, GGML_TYPE_Q4_0, 40e6) / first(4, GGML_TYPE_Q4_0, 40e6), 1.62, 0.01);
  EXPECT_EQ(first(8, GGML_TYPE_Q4_0, 40e6), first(4, GGML_TYPE_Q4_0, 40e6));
  EXPECT_NEAR(first(4, GGML_TYPE_Q6_K, 50e6), 0.001 / 0.75 + 1e-6, 1e-9);
}

TEST(MachineSpeeds, ExpertsAreComputedRowByRow) {
  const MachineProfile profile = some_profile();
  const PassSeconds seconds = MachineSpeeds(&profile, 4).expert_matrix(GGML_TYPE_Q4_0, 4e6, 7e6);
  EXPECT_NEAR(seconds.first, 0.0001 / 0.75, 1e-9);
  EXPECT_NEAR(seconds.more, 0.0001, 1e-9);
}

TEST(MachineSpeeds, RowsThatChoseAnExpertAreAsFastAsTheProfileSays) {
  MachineProfile profile = some_profile();
  KernelSpeed& kernel = profile.kernels.front();
  kernel.expert_matmul_flops = 200e9;
  const PassSeconds seconds = MachineSpeeds(&profile, 4).expert_matrix(GGML_TYPE_Q4_0, 4e6, 7e6);
  EXPECT_NEAR(seconds.first, 0.0001 / 0.75, 1e-9);
  EXPECT_NEAR(seconds.more, 0.00007, 1e-9);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).expert_matrix(GGML_TYPE_Q5_0, 40e6, 7e6).more, 0.00007, 1e-9)
      << "of a type that was not measured";
  kernel.expert_matmul_flops = 20e9;  // no worse than one by one
  EXPECT_NEAR(MachineSpeeds(&profile, 4).expert_matrix(GGML_TYPE_Q4_0, 4e6, 7e6).more, 0.0001, 1e-9);
  const auto alone = [&] { return MachineSpeeds(&profile, 4).repacked_alone(GGML_TYPE_Q4_0, 4e6, 7e6).more; };
  EXPECT_NEAR(alone(), 2 * 7e6 / (1.3 * 400e9), 1e-9) << "not measured";
  kernel.repacked_expert_matmul_flops = 700e9;
  EXPECT_NEAR(alone(), 0.00002 / 0.85, 1e-9) << "a model reaches 0.85 of the kernel alone";
}

TEST(MachineSpeeds, TheDiskGivesNoMoreThanItSustains) {
  MachineProfile profile = some_profile();
  profile.storage.sustained_bytes_per_second = 2.5e9;
  const MachineSpeeds speeds(&profile, 4);
  EXPECT_NEAR(speeds.disk(30 * kMiB, 16).bytes_per_second, 2.5e9, 1);
  EXPECT_NEAR(speeds.disk_at_best(30 * kMiB, 16).bytes_per_second, 3e9, 1);
  EXPECT_NEAR(speeds.disk(72 * kKiB, 64).bytes_per_second, 2e9, 1) << "small reads are slower than that anyway";
  EXPECT_NEAR(speeds.load_bytes_per_second(), 5e9, 1) << "loading is short";
}

TEST(MachineSpeeds, WhatLastsIsWhatCounts) {
  MachineProfile profile = some_profile();
  const MachineSpeeds best(&profile, 4);
  const double disk = best.disk(kMiB, 16).bytes_per_second;
  const double computing = best.matrix(GGML_TYPE_Q4_0, 40e6, 70e6).first;
  const double loading = best.load_bytes_per_second();
  profile.lasting_share = 0.5;
  profile.storage.lasting_share = 0.25;
  const MachineSpeeds lasting(&profile, 4);
  EXPECT_NEAR(lasting.disk(kMiB, 16).bytes_per_second, disk / 4, 1);
  EXPECT_NEAR(lasting.disk_at_best(kMiB, 16).bytes_per_second, disk, 1);
  EXPECT_NEAR(lasting.load_bytes_per_second(), loading / 4, 1);
  EXPECT_NEAR(lasting.matrix(GGML_TYPE_Q4_0, 40e6, 70e6).first, 2 * computing, 1e-9);
  EXPECT_EQ(lasting.computing_lasts(), 0.5);
}

TEST(MachineSpeeds, ContentionAndAttentionAreThoseOfTheProfile) {
  MachineProfile profile = some_profile();
  EXPECT_EQ(MachineSpeeds(&profile, 4).contention().computing, 0) << "not measured";
  EXPECT_NEAR(MachineSpeeds(&profile, 4).contention().reading, 0.12, 1e-9);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).attention(8e9), 1, 1e-9);
  profile.storage.computing_kept = 0.65;
  profile.storage.reading_kept = 0.8;
  profile.attention_per_second = 16e9;
  EXPECT_NEAR(MachineSpeeds(&profile, 4).prompt_attention(8e9), 0.5, 1e-9) << "not measured";
  profile.prompt_attention_per_second = 32e9;
  EXPECT_NEAR(MachineSpeeds(&profile, 4).prompt_attention(8e9), 0.25, 1e-9);
  EXPECT_GT(MachineSpeeds(&profile, 4).read_seconds(), 0) << "assumed";
  profile.storage.read_seconds = 12e-6;
  EXPECT_EQ(MachineSpeeds(&profile, 4).read_seconds(), 12e-6);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).contention().computing, 0.35, 1e-9);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).contention().reading, 0.2, 1e-9);
  EXPECT_NEAR(MachineSpeeds(&profile, 4).attention(8e9), 0.5, 1e-9);
}

TEST(MachineSpeeds, TheDiskIsTakenAtTheSizeOfTheReads) {
  const MachineProfile profile = some_profile();
  const MachineSpeeds speeds(&profile, 4);
  const DiskSpeed small = speeds.disk(72 * kKiB, 64);
  EXPECT_NEAR(small.bytes_per_second, 2e9, 1);
  EXPECT_NEAR(small.latency, 64.0 * kKiB / 0.5e9 - 64.0 * kKiB / 2e9, 1e-9);
  // Larger reads are cut to chunks of 1 MiB; the ring keeps 16 under way.
  const DiskSpeed large = speeds.disk(30 * kMiB, 16);
  EXPECT_NEAR(large.bytes_per_second, 3e9, 1);
  EXPECT_NEAR(large.latency, 1.0 * kMiB / 1.5e9 - 1.0 * kMiB / 3e9, 1e-9);
  EXPECT_NEAR(speeds.disk(512, 64).bytes_per_second, 2e9, 1) << "the smallest that was measured";
  EXPECT_NEAR(speeds.load_bytes_per_second(), 5e9, 1);
}

TEST(MachineSpeeds, WhatIsNotMeasuredIsAssumedAndSaid) {
  const MachineSpeeds none(nullptr, 2);
  EXPECT_NE(none.assumption().find("hypura profile"), std::string::npos) << none.assumption();
  EXPECT_GT(none.disk(kMiB, 64).bytes_per_second, 0);
  EXPECT_GT(none.load_bytes_per_second(), 0);
  EXPECT_GT(none.matrix(GGML_TYPE_Q4_0, 1e6, 2e6).first, 0);
  MachineProfile no_disk = some_profile();
  no_disk.storage = {};
  EXPECT_NE(MachineSpeeds(&no_disk, 2).assumption().find("disk"), std::string::npos);
  MachineProfile no_kernels = some_profile();
  no_kernels.kernels.clear();
  EXPECT_NE(MachineSpeeds(&no_kernels, 2).assumption().find("processor"), std::string::npos);
  EXPECT_GT(MachineSpeeds(&no_kernels, 2).matrix(GGML_TYPE_F32, 1e6, 2e6).first, 0);
}

}  // namespace
}  // namespace hypura
