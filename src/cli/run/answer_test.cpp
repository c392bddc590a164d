#include "cli/run/answer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "cli/captured_output_for_test.h"
#include "cli/chat/fake_session_for_test.h"
#include "cli/program.h"

namespace hypura {
namespace {

class AnswerTest : public testing::Test {
 protected:
  Result<Answer> stream(Output& output) {
    const auto generate = [this](const GenerateOptions& options) { return session.complete("p", options); };
    return stream_answer(generate, {}, output, 2);
  }

  FakeSession session;
  CapturedOutput out;
};

TEST_F(AnswerTest, StreamsAndEndsTheLine) {
  session.will_say({"Once", " upon"}, StopReason::kLength);
  const auto answer = stream(out.output());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text, "Once upon");
  EXPECT_EQ(answer->stop, StopReason::kLength);
  EXPECT_FALSE(answer->interrupted);
  EXPECT_EQ(out.text(), "Once upon\n");
}

TEST_F(AnswerTest, StopsOnInterruptAndRestoresTheOldHandler) {
  static volatile std::sig_atomic_t old_handler_ran = 0;
  old_handler_ran = 0;
  const auto before = std::signal(SIGINT, [](int) { old_handler_ran = 1; });
  session.will_say({"a", "b", "c"}, StopReason::kEndOfText, [pieces = 0]() mutable {
    if (++pieces == 2) {
      std::raise(SIGINT);
    }
  });
  const auto answer = stream(out.output());
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->interrupted);
  EXPECT_EQ(answer->text, "a");
  EXPECT_EQ(old_handler_ran, 0);
  std::raise(SIGINT);
  EXPECT_EQ(old_handler_ran, 1);
  std::signal(SIGINT, before);
}

TEST_F(AnswerTest, StopsBeforeThereIsAnyText) {
  session.will_say({"a"}, StopReason::kEndOfText, [] { std::raise(SIGINT); });
  const auto answer = stream(out.output());
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->interrupted);
  EXPECT_EQ(answer->stop, StopReason::kCancelled);
  EXPECT_EQ(out.text(), "");
}

TEST_F(AnswerTest, TheNextInterruptEndsAStuckProgram) {
  session.will_say({"a"}, StopReason::kEndOfText, [] {
    std::raise(SIGINT);
    std::raise(SIGINT);
  });
  EXPECT_EXIT(static_cast<void>(stream(out.output())), testing::ExitedWithCode(kExitInterrupted), "");
}

TEST_F(AnswerTest, StopsWhenTheReaderIsGone) {
  out.close_reader();
  session.will_say({"a", "b", "c"});
  const auto answer = stream(out.output());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->stop, StopReason::kCancelled);
  EXPECT_EQ(answer->text, "a");
  EXPECT_TRUE(out.output().closed());
}

TEST_F(AnswerTest, AnyOtherWriteFailureIsAnError) {
  const int read_only = ::open("/dev/null", O_RDONLY);
  ASSERT_GE(read_only, 0);
  Output broken(read_only, "standard output");
  session.will_say({"a", "b"});
  const auto answer = stream(broken);
  ::close(read_only);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kIo);
  EXPECT_NE(answer.error().message.find("standard output"), std::string::npos);
}

TEST(Output, WaitsForASlowReader) {
  std::array<int, 2> pipe = {-1, -1};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  ASSERT_EQ(::fcntl(pipe[1], F_SETFL, O_NONBLOCK), 0);
  const std::string sent(1 << 20, 'x');
  std::string received;
  std::thread reader([&] {
    std::array<char, 1000> block = {};
    for (ssize_t count = 0; (count = ::read(pipe[0], block.data(), block.size())) > 0;) {
      received.append(block.data(), static_cast<size_t>(count));
    }
  });
  Output output(pipe[1], "the pipe");
  const bool written = output.write(sent);
  ::close(pipe[1]);
  reader.join();
  ::close(pipe[0]);
  EXPECT_TRUE(written);
  EXPECT_EQ(received, sent);
}

}  // namespace
}  // namespace hypura
