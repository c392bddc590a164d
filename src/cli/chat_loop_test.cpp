#include "cli/chat_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "cli/captured_output_for_test.h"
#include "cli/fake_session_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class ChatLoopTest : public testing::Test {
 protected:
  Status run(const std::string& lines) {
    setup_.stats = [this] { return stats_; };
    std::istringstream input(lines);
    StreamLineSource source(input);
    return ChatLoop(session_, source, answers_.output(), notes_.output(), setup_).run();
  }

  FakeSession session_;
  CapturedOutput answers_;
  CapturedOutput notes_;
  ChatSetup setup_;
  EngineStats stats_;
};

TEST_F(ChatLoopTest, KeepsTheConversation) {
  setup_.system = "be kind";
  setup_.first_message = "zero";
  session_.will_say({"Hel", "lo"});
  session_.will_say({"two\n"});
  ASSERT_TRUE(run("one\r\n\n   \n/exit\nnever\n"));
  EXPECT_EQ(answers_.text(), "Hello\ntwo\n");
  ASSERT_EQ(session_.asked.size(), 2U);
  ASSERT_EQ(session_.asked[1].size(), 4U);
  EXPECT_EQ(session_.asked[1][0].role, "system");
  EXPECT_EQ(session_.asked[1][1].content, "zero");
  EXPECT_EQ(session_.asked[1][2].role, "assistant");
  EXPECT_EQ(session_.asked[1][2].content, "Hello");
  EXPECT_EQ(session_.asked[1][3].content, "one");
}

TEST_F(ChatLoopTest, ClearForgetsAllButTheSystemMessage) {
  setup_.system = "be kind";
  session_.will_say({"a"});
  session_.will_say({"b"});
  ASSERT_TRUE(run("one\n/clear \ntwo\n"));
  EXPECT_EQ(session_.cleared, 1);
  ASSERT_EQ(session_.asked.size(), 2U);
  ASSERT_EQ(session_.asked[1].size(), 2U);
  EXPECT_EQ(session_.asked[1][0].content, "be kind");
  EXPECT_EQ(session_.asked[1][1].content, "two");
}

TEST_F(ChatLoopTest, UnknownCommandsAreNotSent) {
  ASSERT_TRUE(run("/frob now\n"));
  EXPECT_TRUE(session_.asked.empty());
  const std::string notes = notes_.text();
  EXPECT_THAT(notes, HasSubstr("'/frob now' is not a command"));
  EXPECT_THAT(notes, HasSubstr("/clear"));
}

TEST_F(ChatLoopTest, ASpaceInFrontSendsASlash) {
  session_.will_say({"a folder"});
  ASSERT_TRUE(run(" /etc?\n"));
  ASSERT_EQ(session_.asked.size(), 1U);
  EXPECT_EQ(session_.asked[0][0].content, " /etc?");
}

TEST_F(ChatLoopTest, HelpAndStats) {
  session_.will_say({"a"}, StopReason::kEndOfText, [this] { stats_.memory_peak = 4096; });
  ASSERT_TRUE(run("/help\none\n/stats\n"));
  const std::string notes = notes_.text();
  EXPECT_THAT(notes, HasSubstr("/exit"));
  EXPECT_THAT(notes, HasSubstr("memory 4.0 KiB"));
  EXPECT_THAT(notes, HasSubstr("context: 12 of 128 tokens"));
  EXPECT_EQ(answers_.text(), "a\n");
}

TEST_F(ChatLoopTest, InterruptStopsTheAnswerNotTheConversation) {
  session_.will_say({"one ", "two "}, StopReason::kEndOfText, [pieces = 0]() mutable {
    if (++pieces == 2) {
      std::raise(SIGINT);
    }
  });
  session_.will_say({"again"});
  ASSERT_TRUE(run("first\nsecond\n"));
  EXPECT_EQ(answers_.text(), "one \nagain\n");
  ASSERT_EQ(session_.asked.size(), 2U);
  EXPECT_EQ(session_.asked[1][1].content, "one ") << "what was said stays said";
}

TEST_F(ChatLoopTest, AMessageInterruptedBeforeItsAnswerIsTakenBack) {
  session_.will_say({"one"}, StopReason::kEndOfText, [] { std::raise(SIGINT); });
  session_.will_say({"two"});
  ASSERT_TRUE(run("first\nsecond\n"));
  ASSERT_EQ(session_.asked.size(), 2U);
  ASSERT_EQ(session_.asked[1].size(), 1U);
  EXPECT_EQ(session_.asked[1][0].content, "second");
}

TEST_F(ChatLoopTest, AFullContextLeavesTheConversationUsable) {
  setup_.interactive = true;
  session_.will_say({"hi"});
  session_.will_fail(ErrorCode::kContextFull, "it does not fit");
  session_.will_say({"ok"});
  ASSERT_TRUE(run("one\nvery long\nshort\n"));
  EXPECT_THAT(notes_.text(), HasSubstr("it does not fit; /clear starts a new conversation\n"));
  EXPECT_EQ(answers_.text(), "hi\nok\n");
  ASSERT_EQ(session_.asked[2].size(), 3U) << "the message that did not fit must be gone";
  EXPECT_EQ(session_.asked[2][2].content, "short");
}

TEST_F(ChatLoopTest, SaysThatTheContextFilledUpInAnAnswer) {
  session_.will_say({"cut"}, StopReason::kContextFull);
  ASSERT_TRUE(run("one\n"));
  EXPECT_THAT(notes_.text(), HasSubstr("context of 128 tokens is full; /clear"));
}

TEST_F(ChatLoopTest, FailuresEndAConversationNobodyWatches) {
  session_.will_fail(ErrorCode::kIo, "disk gone");
  session_.will_say({"never"});
  const auto status = run("one\ntwo\n");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(session_.asked.size(), 1U);
}

TEST_F(ChatLoopTest, AReaderThatLeftEndsItQuietly) {
  answers_.close_reader();
  session_.will_say({"a", "b"});
  session_.will_say({"never"});
  EXPECT_TRUE(run("one\ntwo\n"));
  EXPECT_EQ(session_.asked.size(), 1U);
  EXPECT_EQ(notes_.text(), "");
}

}  // namespace
}  // namespace hypura
