#include "bench/process.h"

#include <gtest/gtest.h>

#include <csignal>

namespace hypura::bench {
namespace {

Result<ProcessOutcome> shell(const std::string& script, double timeout_seconds = 60) {
  return run_process("/bin/sh", {"sh", "-c", script}, {}, timeout_seconds);
}

TEST(RunProcess, GivesOutputAndStatus) {
  const auto outcome = shell("echo a line; exit 3");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "a line\n");
  EXPECT_EQ(outcome->exit_status, 3);
  EXPECT_EQ(outcome->signal, 0);
  EXPECT_FALSE(outcome->timed_out);
}

TEST(RunProcess, TellsTheSignal) {
  EXPECT_EQ(shell("kill -TERM $$")->signal, SIGTERM);
}

TEST(RunProcess, GivesUpInTime) {
  const auto outcome = shell("exec sleep 60", 0.3);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->timed_out);
  EXPECT_EQ(outcome->signal, SIGKILL);
}

TEST(RunProcess, NamesAProgramThatIsNotThere) {
  const auto outcome = run_process("/no/such/program", {"program"}, {}, 10);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("/no/such/program"), std::string::npos);
}

}  // namespace
}  // namespace hypura::bench
