#include "bench/isolation/capabilities.h"

#include <gtest/gtest.h>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

TEST(FindCapabilities, SaysWhyForEachThatIsMissing) {
  const TempDir folder;
  folder.write("model", "weights");
  const Capabilities capabilities = find_capabilities(folder.path() / "model");
  EXPECT_EQ(capabilities.cgroups, capabilities.no_cgroups.empty()) << capabilities.no_cgroups;
  EXPECT_EQ(capabilities.drop_caches, capabilities.no_drop_caches.empty()) << capabilities.no_drop_caches;
  EXPECT_EQ(capabilities.drop_file_cache, capabilities.no_drop_file_cache.empty()) << capabilities.no_drop_file_cache;
  EXPECT_EQ(capabilities.readahead, capabilities.no_readahead.empty()) << capabilities.no_readahead;
}

TEST(FindCapabilities, OfAFileThatIsMissingNamesIt) {
  const Capabilities capabilities = find_capabilities("/no/such/file");
  EXPECT_FALSE(capabilities.drop_file_cache);
  EXPECT_NE(capabilities.no_drop_file_cache.find("/no/such/file"), std::string::npos);
  EXPECT_NE(capabilities.no_readahead.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace hypura
