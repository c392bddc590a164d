#include "machine/profile_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "machine/profile_json.h"
#include "machine/test_tree.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

MachineProfile sample() {
  MachineProfile profile;
  profile.cpu_model = "Some CPU";
  profile.cores = 4;
  profile.threads = 3;
  profile.simd = {"AVX", "AVX2"};
  profile.caches = {{"L1d", 32768}, {"L3", 1 << 25}};
  profile.memory_total = 1ULL << 34;
  profile.memory_available = 1ULL << 33;
  profile.memory_allowed = 1ULL << 31;
  profile.cgroup_limit = 1ULL << 32;
  profile.huge_pages = "transparent: always";
  profile.ram_bytes_per_second = {1.5e10, 2.7182818284590451e10};
  profile.processor_share = 0.75;
  profile.contradicted_by = 2.5;
  profile.lasting_share = 0.8;
  profile.first_measured_at = "2025-01-02T03:00:00Z";
  profile.operation_seconds = 1.25e-6;
  profile.attention_per_second = 3e9;
  profile.prompt_attention_per_second = 6e9;
  profile.kernels = {{"q4_0", 1.1e10, 3.3e11, 2.2e10, 6.6e11, 1.2e10, 2e12, 4e9, 2.5e11, 5e11}, {"f32", 2e10, 1e11}};
  GpuProfile gpu;
  gpu.name = "GPU0";
  gpu.description = "Some GPU";
  gpu.pinned = true;
  gpu.registers_memory = true;
  gpu.copies = {{65536, 1e10, 2e10}, {1 << 20, 4e10, 5e10}};
  gpu.unpinned_upload_bytes_per_second = 7e9;
  gpu.cut_seconds = 1.25e-5;
  gpu.operation_seconds = 1.5e-6;
  gpu.attention_per_second = 1e12;
  gpu.kernels = {{"q4_0", {3e-6, 2e12, 3e14, 4e14}, {4e-6, 1e12, 1e14, 2e14}}};
  gpu.measured_at = "2025-01-02T03:04:06Z";
  profile.gpus = {gpu};
  profile.storage.path = "/models";
  profile.storage.file_system = "ext4 on /dev/sda1, id 8:1.5";
  profile.storage.method = "io_uring, direct";
  profile.storage.points = {{65536, 1, true, 1e8}, {1 << 20, 8, true, 2e9}, {1 << 20, 8, false, 3e9}};
  profile.storage.knee = profile.storage.points[1];
  profile.storage.scattered_bytes_per_second = 2e9;
  profile.storage.sequential_bytes_per_second = 3e9;
  profile.storage.sustained_bytes_per_second = 1.5e9;
  profile.storage.read_seconds = 1e-5;
  profile.storage.computing_kept = 0.5;
  profile.storage.reading_kept = 0.75;
  profile.storage.lasting_share = 0.6;
  profile.measured_at = "2025-01-02T03:04:05Z";
  return profile;
}

const Fingerprint kPrint = {{"processor", "Some CPU"}, {"the system", "Linux 6.1"}};

class ProfileCacheTest : public testing::Test {
 protected:
  ProfileCacheTest() : file_(tree_.root() / "cache" / "hypura" / "profile.json") {}
  Json stored() const { return Json::parse(std::ifstream(file_)); }
  void write(const std::string& text) const { tree_.write("/cache/hypura/profile.json", text); }
  void expect_refused(const std::string& why) const {
    const CachedProfile cached = load_profile(file_, kPrint);
    EXPECT_FALSE(cached.profile);
    EXPECT_THAT(cached.problem, AllOf(HasSubstr(file_.string()), HasSubstr(why)));
  }

  TestTree tree_;
  fs::path file_;
};

TEST_F(ProfileCacheTest, KeepsEveryField) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  const CachedProfile cached = load_profile(file_, kPrint);
  EXPECT_EQ(cached.problem, "");
  ASSERT_TRUE(cached.profile);
  EXPECT_EQ(profile_to_json(*cached.profile), profile_to_json(sample()));
  EXPECT_EQ(cached.profile->ram_bytes_per_second, sample().ram_bytes_per_second) << "to the last bit";
  EXPECT_EQ(cached.profile->caches, sample().caches);
  EXPECT_EQ(cached.profile->prompt_attention_per_second, 6e9);
  EXPECT_EQ(cached.profile->cgroup_limit, sample().cgroup_limit);
  EXPECT_EQ(cached.profile->storage.knee.depth, 8U);
  const GpuProfile* gpu = cached.profile->gpu("GPU0", "Some GPU");
  ASSERT_NE(gpu, nullptr);
  EXPECT_TRUE(gpu->pinned);
  EXPECT_EQ(gpu->copies[1].download_bytes_per_second, 5e10);
  ASSERT_NE(gpu->kernel("q4_0"), nullptr);
  EXPECT_EQ(gpu->kernel("q4_0")->matrix.large_matmul_flops, 4e14);
  EXPECT_EQ(gpu->kernel("q4_0")->experts.seconds, 4e-6);
  EXPECT_EQ(gpu->kernel("q8_0"), nullptr);
  EXPECT_EQ(cached.profile->gpu("GPU0", "Another GPU"), nullptr) << "that has got its name";
  ASSERT_NE(cached.profile->kernel("f32"), nullptr);
  EXPECT_EQ(cached.profile->kernel("f32")->matmul_flops, 1e11);
  EXPECT_EQ(cached.profile->kernel("q4_0")->repacked_matvec_bytes_per_second, 2.2e10);
  EXPECT_EQ(cached.profile->kernel("q4_0")->repacked_matmul_flops, 6.6e11);
  EXPECT_EQ(cached.profile->kernel("q4_0")->repack_bytes_per_second, 4e9);
  EXPECT_EQ(cached.profile->kernel("q4_0")->expert_matmul_flops, 2.5e11);
  EXPECT_EQ(cached.profile->kernel("q4_0")->repacked_expert_matmul_flops, 5e11);
  EXPECT_EQ(cached.profile->kernel("f31"), nullptr);
}

TEST_F(ProfileCacheTest, NoLimitStaysNone) {
  MachineProfile profile = sample();
  profile.cgroup_limit.reset();
  ASSERT_TRUE(store_profile(file_, profile, kPrint));
  EXPECT_EQ(load_profile(file_, kPrint).profile.value().cgroup_limit, std::nullopt);
}

TEST_F(ProfileCacheTest, MissingIsNoProblem) {
  const CachedProfile cached = load_profile(file_, kPrint);
  EXPECT_FALSE(cached.profile);
  EXPECT_EQ(cached.problem, "");
}

TEST_F(ProfileCacheTest, AnotherMachineExpiresIt) {
  ASSERT_TRUE(store_profile(file_, sample(), {{"processor", "Some CPU"}, {"the system", "Linux 5.10"}}));
  expect_refused("out of date: the system was 'Linux 5.10' and is 'Linux 6.1'");
  ASSERT_TRUE(store_profile(file_, sample(), {{"processor", "Some CPU"}}));
  expect_refused("out of date");
}

TEST_F(ProfileCacheTest, AnotherFormatExpiresIt) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  Json json = stored();
  json["format"] = 0;
  write(json.dump());
  expect_refused("another version");
}

TEST_F(ProfileCacheTest, DamageIsFound) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  const std::string whole = stored().dump();
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("{}"),
        std::string("\0\xff", 2), whole.substr(0, whole.size() / 2), std::string(100000, '[')}) {
    write(text);
    expect_refused("damaged");
  }
}

TEST_F(ProfileCacheTest, EveryFieldIsNeededAndChecked) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  const Json whole = stored();
  for (const auto& [key, value] : whole["profile"].items()) {
    if (key != "gpus") {
      Json missing = whole;
      missing["profile"].erase(key);
      write(missing.dump());
      expect_refused("damaged");
    }
    Json wrong = whole;
    wrong["profile"][key] = Json{{"other", "type"}};
    write(wrong.dump());
    expect_refused("damaged");
  }
}

TEST_F(ProfileCacheTest, AProfileFromBeforeThereWereGpusIsValid) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  Json json = stored();
  json["profile"].erase("gpus");
  write(json.dump());
  const CachedProfile cached = load_profile(file_, kPrint);
  ASSERT_TRUE(cached.profile) << cached.problem;
  EXPECT_TRUE(cached.profile->gpus.empty());
  EXPECT_EQ(cached.profile->kernels.size(), 2U);
}

TEST_F(ProfileCacheTest, SenselessNumbersAreDamage) {
  ASSERT_TRUE(store_profile(file_, sample(), kPrint));
  const Json whole = stored();
  const std::vector<std::function<void(Json&)>> damages = {
      [](Json& p) { p["cores"] = -1; },
      [](Json& p) { p["cores"] = 1.5; },
      [](Json& p) { p["threads"] = 1ULL << 40; },
      [](Json& p) { p["memory_total"] = "16G"; },
      [](Json& p) { p["cgroup_limit"] = -5; },
      [](Json& p) { p["operation_seconds"] = -1e-6; },
      [](Json& p) { p["ram_bytes_per_second"][0] = nullptr; },  // how the library writes infinity
      [](Json& p) { p["kernels"][0]["matmul_flops"] = "fast"; },
      [](Json& p) { p["kernels"][1].erase("repack_bytes_per_second"); },
      [](Json& p) { p["kernels"][1].erase("expert_matmul_flops"); },
      [](Json& p) { p["storage"]["points"][1]["depth"] = -8; },
      [](Json& p) { p["storage"]["points"][1]["scattered"] = 1; },
      [](Json& p) { p["storage"]["knee"] = 7; },
      [](Json& p) { p["gpus"] = 7; },
      [](Json& p) { p["gpus"][0].erase("cut_seconds"); },
      [](Json& p) { p["gpus"][0]["pinned"] = 1; },
      [](Json& p) { p["gpus"][0]["name"] = 0; },
      [](Json& p) { p["gpus"][0]["copies"][0]["bytes"] = -1; },
      [](Json& p) { p["gpus"][0]["copies"][0]["upload_bytes_per_second"] = nullptr; },
      [](Json& p) { p["gpus"][0]["kernels"][0].erase("experts"); },
      [](Json& p) { p["gpus"][0]["kernels"][0]["matrix"]["seconds"] = -1; },
  };
  for (size_t i = 0; i < damages.size(); ++i) {
    SCOPED_TRACE(i);
    Json json = whole;
    damages[i](json["profile"]);
    write(json.dump());
    expect_refused("damaged");
  }
}

TEST_F(ProfileCacheTest, FailureToStoreIsTold) {
  tree_.write("/cache/hypura", "a file where the folder should be");
  const Status status = store_profile(file_, sample(), kPrint);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr(file_.string()));
}

TEST(ProfileFile, HasOneNameForEachMachineDiskAndThreads) {
  const std::string name = profile_file_name("atlas", "ext4 on /dev/sda1", 8);
  EXPECT_EQ(name, profile_file_name("atlas", "ext4 on /dev/sda1", 8));
  EXPECT_THAT(name, testing::MatchesRegex("profile-[0-9a-f]+\\.json"));
  EXPECT_NE(name, profile_file_name("other", "ext4 on /dev/sda1", 8));
  EXPECT_NE(name, profile_file_name("atlas", "ext4 on /dev/sda2", 8));
  EXPECT_NE(name, profile_file_name("atlas", "ext4 on /dev/sda1", 4));
}

}  // namespace
}  // namespace hypura
