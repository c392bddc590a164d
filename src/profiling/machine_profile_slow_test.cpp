// Profiles of this machine, kept in a cache of the test's own. One is measured for as long as a user's is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "hypura/profile.h"
#include "profiling/machine_measuring.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Says little, soon.
MeasuringEffort quick() {
  MeasuringEffort effort;
  effort.scratch.bytes = 64 * kMiB;
  effort.storage.point_seconds = 0;
  effort.storage.most_seconds = 0;
  effort.ram_seconds = 0.05;
  effort.most_bytes = 4 * kMiB;
  effort.matmul_size = 256;
  effort.kernel_seconds = 0;
  effort.both_seconds = 0.02;
  effort.when_doubtful = false;  // other tests run at the same time
  effort.gpu.weight_bytes = 4 * kMiB;
  effort.gpu.copy_bytes = kMiB;
  effort.gpu.matmul_size = 256;
  effort.gpu.seconds = 0;
  return effort;
}

class MachineProfileTest : public testing::Test {
 protected:
  MachineProfileTest() { fs::create_directory(disk()); }
  fs::path disk() const { return folder_ / "disk"; }
  ProfileOptions options() const {
    ProfileOptions options;
    options.path = disk();
    options.threads = 1;
    return options;
  }
  // The one file of the cache.
  fs::path cache_file() const {
    const fs::directory_iterator files(folder_ / "cache" / "hypura");
    return files == fs::directory_iterator() ? fs::path() : files->path();
  }

  TempDir dir_;
  fs::path folder_ = dir_.path();
  EnvironmentVariable caches_{"XDG_CACHE_HOME", (folder_ / "cache").c_str()};
};

void expect_measured(const MachineProfile& profile) {
  EXPECT_NE(profile.cpu_model, "");
  EXPECT_GE(profile.cores, 1U);
  EXPECT_EQ(profile.threads, 1U);
  EXPECT_GT(profile.memory_total, 0U);
  EXPECT_LE(profile.memory_allowed, profile.memory_available);
  ASSERT_EQ(profile.ram_bytes_per_second.size(), profile.cores);
  EXPECT_GT(profile.ram_bytes_per_second.back(), 0);
  EXPECT_GT(profile.operation_seconds, 0);
  for (const char* type : {"f32", "f16", "q4_0", "q8_0", "q4_K", "q6_K"}) {
    ASSERT_NE(profile.kernel(type), nullptr) << type;
    EXPECT_GT(profile.kernel(type)->matvec_bytes_per_second, 0);
    EXPECT_GT(profile.kernel(type)->matmul_flops, 0);
  }
  EXPECT_FALSE(profile.storage.points.empty());
  EXPECT_GT(profile.storage.knee.depth, 0U);
  EXPECT_GT(profile.storage.scattered_bytes_per_second, 0);
  EXPECT_GT(profile.storage.sequential_bytes_per_second, 0);
  EXPECT_THAT(profile.measured_at, testing::MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+Z"));
}

TEST_F(MachineProfileTest, IsMeasuredOnceAndAgainWhenDamaged) {
  EXPECT_FALSE(cached_profile(options()));
  double last = 0;
  ProfileOptions first = options();
  first.progress = [&](double share, std::string_view what) {
    EXPECT_GE(share, last) << what;
    EXPECT_LE(share, 1) << what;
    EXPECT_NE(what, "");
    last = share;
  };
  const auto measured = machine_profile(first);
  ASSERT_TRUE(measured) << measured.error().message;
  expect_measured(*measured);
  EXPECT_EQ(last, 1);
  EXPECT_EQ(measured->storage.path, fs::canonical(disk()));
  EXPECT_EQ(fs::directory_iterator(disk()), fs::directory_iterator()) << "the scratch file is gone";

  // Had it been measured again, the figures would differ.
  const auto again = machine_profile(options(), quick());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->ram_bytes_per_second, measured->ram_bytes_per_second);
  const auto cached = cached_profile(options());
  ASSERT_TRUE(cached);
  EXPECT_EQ(cached->storage.scattered_bytes_per_second, measured->storage.scattered_bytes_per_second);
  ProfileOptions more_threads = options();
  more_threads.threads = 2;
  EXPECT_FALSE(cached_profile(more_threads)) << "another number of threads is another profile";

  // A model on that disk adds its own types and nothing else.
  ProfileOptions model = options();
  model.path = disk() / "model.gguf";
  fs::copy_file(fs::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf", model.path);
  const auto with_model = machine_profile(model, quick());
  ASSERT_TRUE(with_model) << with_model.error().message;
  EXPECT_EQ(with_model->ram_bytes_per_second, measured->ram_bytes_per_second);
  EXPECT_GE(with_model->kernels.size(), measured->kernels.size());

  std::ofstream(cache_file()) << "{\"format\": 1, \"fingerprint\": ";
  EXPECT_FALSE(cached_profile(options()));
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const auto anew = machine_profile(options(), quick());
  const std::string log = testing::internal::GetCapturedStderr() + testing::internal::GetCapturedStdout();
  ASSERT_TRUE(anew) << anew.error().message;
  EXPECT_THAT(log, testing::AllOf(HasSubstr("damaged"), HasSubstr("measuring the machine again")));
  expect_measured(*anew);
  EXPECT_NE(anew->ram_bytes_per_second, measured->ram_bytes_per_second);
  EXPECT_TRUE(cached_profile(options())) << "kept again";
}

TEST_F(MachineProfileTest, IsMeasuredAgainWhenARunContradictedIt) {
  const auto measured = machine_profile(options(), quick());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_GT(measured->processor_share, 0);
  EXPECT_LE(measured->processor_share, 1.1);
  ProfileOptions as_runs = options();
  as_runs.threads = 0;
  ASSERT_TRUE(machine_profile(as_runs, quick()));
  ASSERT_TRUE(change_cached_profile(disk(), [](MachineProfile& profile) { profile.contradicted_by = 0.25; }));
  EXPECT_EQ(cached_profile(as_runs)->contradicted_by, 0.25);

  MeasuringEffort effort = quick();
  effort.when_doubtful = true;
  const auto anew = machine_profile(as_runs, effort);
  ASSERT_TRUE(anew) << anew.error().message;
  EXPECT_EQ(anew->contradicted_by, 0);
  EXPECT_EQ(cached_profile(as_runs)->ram_bytes_per_second, anew->ram_bytes_per_second) << "kept";
}

TEST_F(MachineProfileTest, ASecondTimeKeepsTheBetterSpeeds) {
  ProfileOptions once_more = options();
  once_more.again = true;
  const auto first = machine_profile(once_more, quick());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->first_measured_at, "") << "there was none before";
  const auto both = machine_profile(once_more, quick());
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(both->first_measured_at, first->measured_at);
  EXPECT_GE(both->kernel("q4_0")->matmul_flops, first->kernel("q4_0")->matmul_flops);
  EXPECT_EQ(cached_profile(options())->first_measured_at, first->measured_at) << "kept";
}

TEST_F(MachineProfileTest, AGpuIsMeasuredOnceWhenItIsThere) {
  ProfileOptions none = options();
  none.gpu = "none";
  const auto without = machine_profile(none, quick());
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_TRUE(without->gpus.empty());

  ProfileOptions named = options();
  named.gpu = "CPU";
  double last = 0;
  named.progress = [&](double share, std::string_view) {
    EXPECT_GE(share, last);
    last = share;
  };
  const auto measured = machine_profile(named, quick());
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(last, 1);
  EXPECT_EQ(measured->ram_bytes_per_second, without->ram_bytes_per_second) << "only what was missing";
  ASSERT_EQ(measured->gpus.size(), 1U);
  const GpuProfile& gpu = measured->gpus.front();
  EXPECT_EQ(gpu.name, "CPU");
  EXPECT_NE(gpu.measured_at, "");
  EXPECT_EQ(gpu.kernels.size(), 6U);

  named.progress = {};
  named.path = disk() / "model.gguf";
  fs::copy_file(fs::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf", named.path);
  const auto again = machine_profile(named, quick());
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->gpus.size(), 1U);
  EXPECT_EQ(again->gpus.front().cut_seconds, gpu.cut_seconds) << "kept";
  EXPECT_GE(again->gpus.front().kernels.size(), gpu.kernels.size()) << "with the model's types";

  EXPECT_TRUE(machine_profile(none, quick())->gpus.empty()) << "none is asked for";
  const auto cached = cached_profile(none);
  ASSERT_TRUE(cached);
  EXPECT_NE(cached->gpu("CPU", gpu.description), nullptr);
  EXPECT_EQ(cached->gpu("CPU", "another processor"), nullptr);
}

TEST_F(MachineProfileTest, AGpuThatIsNotThereIsAnErrorBeforeAnythingIsMeasured) {
  ProfileOptions named = options();
  for (const char* gpu : {"GPU17", "CPU,GPU17", ""}) {
    named.gpu = gpu;
    const auto profile = machine_profile(named, quick());
    ASSERT_FALSE(profile) << gpu;
    EXPECT_EQ(profile.error().code, ErrorCode::kUsage);
    EXPECT_FALSE(cached_profile(named));
  }
}

TEST_F(MachineProfileTest, ACacheThatCannotBeWrittenIsToldAndNothingElse) {
  std::ofstream(folder_ / "cache") << "a file where the folder should be";
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const auto profile = machine_profile(options(), quick());
  const std::string log = testing::internal::GetCapturedStderr() + testing::internal::GetCapturedStdout();
  ASSERT_TRUE(profile) << profile.error().message;
  expect_measured(*profile);
  EXPECT_THAT(log, testing::AllOf(HasSubstr("not saved"), HasSubstr((folder_ / "cache").string())));
}

// A model file of some size is measured itself, so its folder need not be writable, and it is left as it was.
TEST_F(MachineProfileTest, ALargeFileIsReadAndAFileWithHolesIsNot) {
  const fs::path large = disk() / "large.bin";
  {
    std::ofstream out(large, std::ios::binary);
    const std::string piece(kMiB, 'x');
    for (int i = 0; i < 70; ++i) {
      out << piece << i;
    }
  }
  const auto before = fs::last_write_time(large);
  ProfileOptions request = options();
  request.path = large;
  const auto profile = machine_profile(request, quick());
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(profile->storage.path, fs::canonical(large));
  EXPECT_EQ(fs::last_write_time(large), before);

  request.path = disk() / "holes.bin";
  request.force = true;
  std::ofstream(request.path) << "x";
  fs::resize_file(request.path, 100 * kMiB);
  const auto beside = machine_profile(request, quick());
  ASSERT_TRUE(beside) << beside.error().message;
  EXPECT_EQ(beside->storage.path, fs::canonical(disk()));
}

}  // namespace
}  // namespace hypura
