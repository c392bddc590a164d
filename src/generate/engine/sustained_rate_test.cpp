#include "history/sustained_rate.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "llama/models_for_test.h"
#include "profiling/profile_target.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

EngineStats long_run() {
  EngineStats stats;
  stats.prompt_seconds = 8;
  stats.decode_seconds = 20;
  stats.io_wait_seconds = 15;
  stats.decode_bytes = 30'000'000'000;
  stats.streamed_bytes = 42'000'000'000;
  return stats;
}

TEST(SustainedRate, IsWhatALongRunGot) {
  EXPECT_EQ(sustained_rate(long_run()), 1.5e9);
}

TEST(SustainedRate, AShortRunTellsNothing) {
  EngineStats stats = long_run();
  stats.decode_seconds = 19;
  EXPECT_EQ(sustained_rate(stats), std::nullopt);
  EXPECT_EQ(sustained_rate({}), std::nullopt);
}

TEST(SustainedRate, ADiskThatHadToWaitTellsNothing) {
  EngineStats stats = long_run();
  stats.prompt_seconds = 12;
  EXPECT_EQ(sustained_rate(stats), std::nullopt);
}

TEST(SustainedRate, IsKeptWithTheProfileOfTheDisk) {
  const TempDir cache;
  const EnvironmentVariable caches("XDG_CACHE_HOME", cache.path().c_str());
  ProfileOptions options;
  options.path = kModels / "hypura-stories-moe.gguf";
  ASSERT_TRUE(save_sustained_rate(options.path, 1.5e9)) << "there is no profile to keep it in";
  EXPECT_FALSE(cached_profile(options));

  MachineProfile profile;
  profile.storage.scattered_bytes_per_second = 3e9;
  const auto target = find_profile_target(options);
  ASSERT_TRUE(target && target->cache);
  ASSERT_TRUE(store_profile(*target->cache, profile, target->fingerprint));
  ASSERT_TRUE(save_sustained_rate(options.path, 1.5e9));
  const auto cached = cached_profile(options);
  ASSERT_TRUE(cached);
  EXPECT_EQ(cached->storage.sustained_bytes_per_second, 1.5e9);
  EXPECT_EQ(cached->storage.scattered_bytes_per_second, 3e9);

  EXPECT_EQ(save_sustained_rate("/no/such/model.gguf", 1).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace hypura
