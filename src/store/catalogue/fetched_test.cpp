#include "store/catalogue/fetched.h"

#include <gtest/gtest.h>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

// A repository in Hugging Face's cache with some blobs, each linked from a snapshot.
class FetchedTest : public testing::Test {
 protected:
  FetchedFile link(const std::string& name, const std::string& blob, const std::string& commit = "c1") {
    const fs::path bytes = dir_.write("hub/models--o--r/blobs/" + blob, "GGUF" + blob);
    dir_.write("hub/models--o--r/refs/main", "c1");
    const fs::path path = repository_ / "snapshots" / commit / name;
    fs::create_directories(path.parent_path());
    fs::create_symlink(fs::relative(bytes, path.parent_path()), path);
    return {path, bytes};
  }

  std::vector<FetchedModel> models() { return fetched_models(data_, problems_); }

  TempDir dir_;
  fs::path data_ = dir_.path() / "data";
  fs::path repository_ = dir_.path() / "hub/models--o--r";
  std::vector<std::string> problems_;
};

TEST_F(FetchedTest, ARecordIsReadAsItWasWritten) {
  const FetchedModel model{"hf.co/o/r:Q8_0", {link("a-00001-of-00002.gguf", "1"), link("a-00002-of-00002.gguf", "2")}};
  ASSERT_TRUE(record_fetched(data_, model).has_value());
  ASSERT_TRUE(record_fetched(data_, model).has_value());  // in place of the first
  ASSERT_EQ(models().size(), 1U);
  EXPECT_EQ(models()[0].name, model.name);
  ASSERT_EQ(models()[0].files.size(), 2U);
  EXPECT_EQ(models()[0].files[1].path, model.files[1].path);
  EXPECT_EQ(models()[0].files[1].blob, model.files[1].blob);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(FetchedTest, DamagedRecordsAreTold) {
  dir_.write("data/fetched/1.json", "{");
  dir_.write("data/fetched/2.json", R"({"name":"x","files":[{"path":"/a/../b","blob":"/b"}]})");
  dir_.write("data/fetched/3.json", R"({"name":"x","files":[]})");
  dir_.write("data/fetched/4.json", R"({"name":"x","files":[{"path":"b","blob":7}]})");
  EXPECT_TRUE(models().empty());
  EXPECT_EQ(problems_.size(), 4U);
}

TEST_F(FetchedTest, RemovesAllThatWasFetched) {
  const FetchedModel model{"hf.co/o/r", {link("sub/a.gguf", "1")}};
  ASSERT_TRUE(record_fetched(data_, model).has_value());
  const auto freed = remove_fetched(data_, model);
  ASSERT_TRUE(freed.has_value()) << freed.error().message;
  EXPECT_EQ(*freed, 5U);
  EXPECT_FALSE(fs::exists(repository_));
  EXPECT_TRUE(fs::exists(dir_.path() / "hub"));
  EXPECT_TRUE(models().empty());
}

TEST_F(FetchedTest, WhatOthersUseStays) {
  const FetchedModel model{"hf.co/o/r:Q8_0", {link("a.gguf", "1"), link("b.gguf", "2")}};
  link("README.md", "3");
  link("a.gguf", "1", "c0");  // an older snapshot, of another program
  const FetchedModel other{"hf.co/o/r:Q4_0", {model.files[1]}};
  ASSERT_TRUE(record_fetched(data_, model).has_value());
  ASSERT_TRUE(record_fetched(data_, other).has_value());
  const auto freed = remove_fetched(data_, model);
  ASSERT_TRUE(freed.has_value()) << freed.error().message;
  EXPECT_EQ(*freed, 0U);
  EXPECT_FALSE(fs::exists(fs::symlink_status(model.files[0].path)));
  EXPECT_TRUE(fs::exists(model.files[0].blob));
  EXPECT_TRUE(fs::exists(model.files[1].path));
  EXPECT_TRUE(fs::exists(repository_ / "snapshots/c1/README.md"));
  EXPECT_TRUE(fs::exists(repository_ / "refs/main"));
  ASSERT_EQ(models().size(), 1U);
  EXPECT_EQ(models()[0].name, other.name);
}

TEST_F(FetchedTest, AFileThatIsNoLinkIsRemovedAlone) {
  const fs::path file = dir_.write("models/x.gguf", "GGUF");
  ASSERT_TRUE(remove_fetched(data_, {"https://example.org/x.gguf", {{file, file}}}).has_value());
  EXPECT_FALSE(fs::exists(file));
  EXPECT_TRUE(fs::exists(file.parent_path()));
}

}  // namespace
}  // namespace hypura
