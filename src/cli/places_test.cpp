// Where things lie: the demo model, the history, this program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "cli/chat/history_file.h"
#include "cli/demo_model.h"
#include "cli/program.h"
#include "cli/progress_bar.h"
#include "support/environment_for_test.h"
#include "support/executable_path.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

void make_file(const fs::path& path) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << "x";
}

TEST(DemoModel, IsFoundInTheSourceTreeFirst) {
  const TempDir dir;
  const fs::path program = dir.path() / "build/release/bin/hypura";
  const fs::path installed = dir.path() / "build/release/share/hypura/models/hypura-stories-moe.gguf";
  make_file(installed);
  EXPECT_EQ(find_demo_model(program).value(), installed);
  make_file(dir.path() / "models/hypura-stories-moe.gguf");
  EXPECT_EQ(find_demo_model(program).value(), dir.path() / "models/hypura-stories-moe.gguf");
}

TEST(DemoModel, SaysWhereItLooked) {
  const TempDir dir;
  const auto found = find_demo_model(dir.path() / "a/b/bin/hypura");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kUsage);
  EXPECT_THAT(found.error().message, testing::HasSubstr((dir.path() / "models").string()));
  EXPECT_THAT(found.error().message, testing::HasSubstr((dir.path() / "a/b/share").string()));
}

TEST(ExecutablePath, IsThisTest) {
  const auto path = executable_path();
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(path->filename(), "cli_test");
  EXPECT_TRUE(fs::is_regular_file(*path));
}

TEST(History, LivesWithTheUsersState) {
  EnvironmentVariable home("HOME", "/home/someone");
  EnvironmentVariable state("XDG_STATE_HOME", "/state");
  EXPECT_EQ(history_path(), "/state/hypura/history");
  state.set("relative");
  EXPECT_EQ(history_path(), "/home/someone/.local/state/hypura/history");
  state.set(nullptr);
  home.set(nullptr);
  EXPECT_EQ(history_path(), std::nullopt);
}

TEST(History, IsReadableByTheUserOnly) {
  const TempDir dir;
  const fs::path path = dir.path() / "state/hypura/history";
  ASSERT_TRUE(prepare_history_file(path));
  const auto owner_only = fs::perms::owner_read | fs::perms::owner_write;
  EXPECT_EQ(fs::status(path).permissions(), owner_only);
  fs::permissions(path, fs::perms::all);
  ASSERT_TRUE(prepare_history_file(path));
  EXPECT_EQ(fs::status(path).permissions(), owner_only);
}

TEST(History, FailureIsTold) {
  const TempDir dir;
  make_file(dir.path() / "file");
  EXPECT_FALSE(prepare_history_file(dir.path() / "file/hypura/history"));
}

TEST(ProgressBar, FillsUp) {
  EXPECT_EQ(progress_line(0), "loading [                              ]   0 %");
  EXPECT_EQ(progress_line(0.5), "loading [###############               ]  50 %");
  EXPECT_EQ(progress_line(0.5, "memory"), "memory [###############               ]  50 %");
  EXPECT_EQ(progress_line(2), "loading [##############################] 100 %");
}

TEST(ExitCode, IsTheErrorsNumber) {
  EXPECT_EQ(exit_code(ErrorCode::kInternal), 1);
  EXPECT_EQ(exit_code(ErrorCode::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorCode::kBadModel), 3);
  EXPECT_EQ(exit_code(ErrorCode::kBudget), 4);
  EXPECT_EQ(exit_code(ErrorCode::kIo), 5);
  EXPECT_EQ(exit_code(ErrorCode::kContextFull), 6);
  EXPECT_EQ(exit_code(ErrorCode::kCancelled), 130);
}

}  // namespace
}  // namespace hypura
