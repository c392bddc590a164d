#include "support/cache_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace hypura {
namespace {

TEST(CacheFolder, IsWhereTheUserKeepsCaches) {
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("XDG_CACHE_HOME", "/caches", 1);
  EXPECT_EQ(cache_folder(), "/caches/hypura");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(cache_folder(), "/home/someone" / caches_in_home() / "hypura");
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(cache_folder(), std::nullopt);
}

}  // namespace
}  // namespace hypura
