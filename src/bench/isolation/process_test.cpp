#include "bench/isolation/process.h"

#include <gtest/gtest.h>

#include <csignal>

namespace hypura {
namespace {

Result<ProcessOutcome> shell(const std::string& script, double timeout_seconds = 60) {
  ProcessRequest request;
  request.program = "/bin/sh";
  request.arguments = {"sh", "-c", script};
  request.timeout_seconds = timeout_seconds;
  return run_process(request);
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
  ProcessRequest request;
  request.program = "/no/such/program";
  request.arguments = {"program"};
  const auto outcome = run_process(request);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("/no/such/program"), std::string::npos);
}

ProcessRequest fed(const std::string& script, std::string input) {
  ProcessRequest request;
  request.program = "/bin/sh";
  request.arguments = {"sh", "-c", script};
  request.input = std::move(input);
  return request;
}

TEST(RunProcess, FeedsStandardInputWhileItReadsTheOutput) {
  // Far more than a pipe holds, in both directions.
  const std::string text(2 << 20, 'x');
  const auto outcome = run_process(fed("cat", text));
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(outcome->output == text);
}

TEST(RunProcess, IsNotHeldUpByAProcessThatDoesNotRead) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto outcome = run_process(fed("exec 0<&-; echo done; exit 4", std::string(2 << 20, 'x')));
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "done\n");
  EXPECT_EQ(outcome->exit_status, 4);
}

}  // namespace
}  // namespace hypura
