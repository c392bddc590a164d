#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "llama/models_for_test.h"
#include "profiling/profile_target.h"
#include "support/environment_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

ProfileOptions at(const std::filesystem::path& path) {
  ProfileOptions options;
  options.path = path;
  return options;
}

TEST(ProfileTarget, AnUnreadablePathIsAnError) {
  const auto missing = machine_profile(at("/no/such/folder"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  EXPECT_THAT(missing.error().message, testing::AllOf(HasSubstr("'/no/such/folder'"), HasSubstr("No such file")));
  EXPECT_FALSE(cached_profile(at("/no/such/folder")));

  const auto device = machine_profile(at("/dev/null"));
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::kUsage);
  EXPECT_THAT(device.error().message, HasSubstr("'/dev/null'"));
}

TEST(ProfileTarget, AFileAndItsFolderShareAProfile) {
  EnvironmentVariable caches("XDG_CACHE_HOME", "/cache");
  const auto folder = find_profile_target(at(kModels));
  const auto file = find_profile_target(at(kModels / "hypura-stories-moe.gguf"));
  ASSERT_TRUE(folder && file);
  EXPECT_FALSE(folder->is_file());
  EXPECT_TRUE(file->is_file());
  EXPECT_EQ(file->folder, folder->folder);
  EXPECT_EQ(file->fingerprint, folder->fingerprint);
  EXPECT_EQ(file->cache, folder->cache);
  EXPECT_EQ(folder->cache.value().parent_path(), "/cache/hypura");

  ProfileOptions threads = at(kModels);
  threads.threads = folder->threads + 1;
  EXPECT_NE(find_profile_target(threads).value().cache, folder->cache);
  caches.set(nullptr);
  const EnvironmentVariable home("HOME", nullptr);
  EXPECT_EQ(find_profile_target(at(kModels)).value().cache, std::nullopt);
}

TEST(ProfileTarget, TheCurrentFolderStandsForNone) {
  EXPECT_EQ(find_profile_target({}).value().path, std::filesystem::current_path());
}

TEST(ProfileTarget, TypesOfAModel) {
  EXPECT_THAT(weight_types(kModels / "hypura-stories-moe.gguf"), testing::IsSupersetOf({"q4_0", "f32"}));
  EXPECT_TRUE(weight_types(kModels / "README.md").empty());
  EXPECT_TRUE(weight_types(kModels).empty());
}

TEST(ProfileTarget, MemoryIsReadAnew) {
  MachineProfile profile;
  profile.cgroup_limit = 1;
  ASSERT_TRUE(refresh_memory(profile));
  EXPECT_GT(profile.memory_total, 0U);
  EXPECT_GT(profile.memory_available, 0U);
  EXPECT_LE(profile.memory_allowed, profile.memory_available);
  EXPECT_NE(profile.cgroup_limit, 1U);
}

}  // namespace
}  // namespace hypura
