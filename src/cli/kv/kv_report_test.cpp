#include "cli/kv/kv_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

std::vector<KvFolder> two_folders() {
  const auto now = std::filesystem::file_time_type::clock::now();
  KvFolder large;
  large.folder = "/cache/kv/1";
  large.identity = {"/models/large.gguf", "f1", "b1", "f16"};
  large.entries = 31;
  large.bytes = 3 * kGiB;
  large.used = now - std::chrono::hours(5);
  KvFolder small = large;
  small.folder = "/cache/kv/2";
  small.identity.model = "/models/a\x1b[31m.gguf";
  small.entries = 0;
  small.bytes = 0;
  return {large, small};
}

TEST(KvReport, ColumnsAreAligned) {
  auto folders = two_folders();
  folders.pop_back();
  EXPECT_EQ(kv_text(folders, "/cache/kv"),
            "Model  Entries     Size  Last used\n"
            "large       31  3.0 GiB  5 hours ago\n"
            "\n3.0 GiB in /cache/kv\n");
  EXPECT_EQ(kv_text({}, "/cache/kv"), "Nothing is kept in /cache/kv.\n");
}

TEST(KvReport, WhatFilesSayIsPrintable) {
  EXPECT_THAT(kv_text(two_folders(), "/cache/kv"), testing::Not(HasSubstr("\x1b")));
}

TEST(KvReport, JsonHasAllOfIt) {
  const auto json = kv_to_json(two_folders(), "/cache/kv");
  EXPECT_EQ(json["folder"], "/cache/kv");
  EXPECT_EQ(json["models"][0]["model"], "/models/large.gguf");
  EXPECT_EQ(json["models"][0]["computed"], "f16");
  EXPECT_EQ(json["models"][0]["entries"], 31);
  EXPECT_EQ(json["models"][0]["bytes"], 3 * kGiB);
  EXPECT_GE(json["models"][0]["seconds_unused"], 5 * 3600);
  EXPECT_EQ(json["models"][1]["seconds_unused"], 0);
}

TEST(KvReport, AModelIsNamedByPathOrFile) {
  const auto folders = two_folders();
  for (const char* name : {"/models/large.gguf", "large.gguf", "large"}) {
    ASSERT_EQ(kv_of_model(folders, name).size(), 1U) << name;
    EXPECT_EQ(kv_of_model(folders, name).front().folder, "/cache/kv/1");
  }
  EXPECT_TRUE(kv_of_model(folders, "other.gguf").empty());
  EXPECT_TRUE(kv_of_model(folders, "/elsewhere/large.gguf").empty());
}

}  // namespace
}  // namespace hypura
