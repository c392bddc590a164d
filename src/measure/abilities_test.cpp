#include "measure/abilities.h"

#include <gtest/gtest.h>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

TEST(FindAbilities, SaysWhyForEachThatIsMissing) {
  const TempDir folder;
  folder.write("model", "weights");
  const Abilities abilities = find_abilities(folder.path() / "model");
  EXPECT_EQ(abilities.cgroups, abilities.no_cgroups.empty()) << abilities.no_cgroups;
  EXPECT_EQ(abilities.drop_caches, abilities.no_drop_caches.empty()) << abilities.no_drop_caches;
  EXPECT_EQ(abilities.drop_file_cache, abilities.no_drop_file_cache.empty()) << abilities.no_drop_file_cache;
  EXPECT_EQ(abilities.readahead, abilities.no_readahead.empty()) << abilities.no_readahead;
}

TEST(FindAbilities, OfAFileThatIsMissingNamesIt) {
  const Abilities abilities = find_abilities("/no/such/file");
  EXPECT_FALSE(abilities.drop_file_cache);
  EXPECT_NE(abilities.no_drop_file_cache.find("/no/such/file"), std::string::npos);
  EXPECT_NE(abilities.no_readahead.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace hypura
