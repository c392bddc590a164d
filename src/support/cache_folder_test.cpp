#include "support/cache_folder.h"

#include <gtest/gtest.h>

#include "support/data_folder.h"
#include "support/environment_for_test.h"

namespace hypura {
namespace {

TEST(CacheFolder, IsWhereTheUserKeepsCaches) {
  EnvironmentVariable home("HOME", "/home/someone");
  EnvironmentVariable caches("XDG_CACHE_HOME", "/caches");
  EXPECT_EQ(cache_folder(), "/caches/hypura");
  caches.set("relative");
  EXPECT_EQ(cache_folder(), "/home/someone" / caches_in_home() / "hypura");
  caches.set(nullptr);
  home.set(nullptr);
  EXPECT_EQ(cache_folder(), std::nullopt);
}

TEST(DataFolder, IsWhereTheUserKeepsData) {
  EnvironmentVariable home("HOME", "/home/someone");
  EnvironmentVariable data("XDG_DATA_HOME", "/data");
  EXPECT_EQ(data_folder(), "/data/hypura");
  data.set(nullptr);
  EXPECT_EQ(data_folder(), "/home/someone" / data_in_home() / "hypura");
  home.set("relative");
  EXPECT_EQ(data_folder(), std::nullopt);
}

}  // namespace
}  // namespace hypura
