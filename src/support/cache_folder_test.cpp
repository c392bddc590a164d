#include "support/cache_folder.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace hypura
