#include "cli/chat/chat_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "cli/captured_output_for_test.h"
#include "cli/chat/fake_session_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

class ChatLoopTest : public testing::Test {
 protected:
  Status run(const std::string& lines) {
    setup.stats = [this] { return stats; };
    std::istringstream input(lines);
    StreamLineSource source(input);
    return ChatLoop(session, source, answers.output(), notes.output(), setup).run();
  }

  FakeSession session;
  CapturedOutput answers;
  CapturedOutput notes;
  ChatSetup setup;
  EngineStats stats;
};

TEST_F(ChatLoopTest, KeepsTheConversation) {
  setup.system = "be kind";
  setup.first_message = "zero";
  session.will_say({"Hel", "lo"});
  session.will_say({"two\n"});
  ASSERT_TRUE(run("one\r\n\n   \n/exit\nnever\n"));
  EXPECT_EQ(answers.text(), "Hello\ntwo\n");
  ASSERT_EQ(session.asked.size(), 2U);
  ASSERT_EQ(session.asked[1].size(), 4U);
  EXPECT_EQ(session.asked[1][0].role, "system");
  EXPECT_EQ(session.asked[1][1].content, "zero");
  EXPECT_EQ(session.asked[1][2].role, "assistant");
  EXPECT_EQ(session.asked[1][2].content, "Hello");
  EXPECT_EQ(session.asked[1][3].content, "one");
}

TEST_F(ChatLoopTest, ClearForgetsAllButTheSystemMessage) {
  setup.system = "be kind";
  session.will_say({"a"});
  session.will_say({"b"});
  ASSERT_TRUE(run("one\n/clear \ntwo\n"));
  EXPECT_EQ(session.cleared, 1);
  ASSERT_EQ(session.asked.size(), 2U);
  ASSERT_EQ(session.asked[1].size(), 2U);
  EXPECT_EQ(session.asked[1][0].content, "be kind");
  EXPECT_EQ(session.asked[1][1].content, "two");
}

TEST_F(ChatLoopTest, UnknownCommandsAreNotSent) {
  ASSERT_TRUE(run("/frob now\n"));
  EXPECT_TRUE(session.asked.empty());
  const std::string noted = notes.text();
  EXPECT_THAT(noted, HasSubstr("'/frob now' is not a command"));
  EXPECT_THAT(noted, HasSubstr("/clear"));
}

TEST_F(ChatLoopTest, ASpaceInFrontSendsASlash) {
  session.will_say({"a folder"});
  ASSERT_TRUE(run(" /etc?\n"));
  ASSERT_EQ(session.asked.size(), 1U);
  EXPECT_EQ(session.asked[0][0].content, " /etc?");
}

TEST_F(ChatLoopTest, HelpAndStats) {
  session.will_say({"a"}, StopReason::kEndOfText, [this] { stats.memory_peak = 4096; });
  ASSERT_TRUE(run("/help\none\n/stats\n"));
  const std::string noted = notes.text();
  EXPECT_THAT(noted, HasSubstr("/exit"));
  EXPECT_THAT(noted, HasSubstr("memory 4.0 KiB"));
  EXPECT_THAT(noted, HasSubstr("context: 12 of 128 tokens"));
  EXPECT_EQ(answers.text(), "a\n");
}

TEST_F(ChatLoopTest, InterruptStopsTheAnswerNotTheConversation) {
  session.will_say({"one ", "two "}, StopReason::kEndOfText, [pieces = 0]() mutable {
    if (++pieces == 2) {
      std::raise(SIGINT);
    }
  });
  session.will_say({"again"});
  ASSERT_TRUE(run("first\nsecond\n"));
  EXPECT_EQ(answers.text(), "one \nagain\n");
  ASSERT_EQ(session.asked.size(), 2U);
  EXPECT_EQ(session.asked[1][1].content, "one ") << "what was said stays said";
}

TEST_F(ChatLoopTest, AMessageInterruptedBeforeItsAnswerIsTakenBack) {
  session.will_say({"one"}, StopReason::kEndOfText, [] { std::raise(SIGINT); });
  session.will_say({"two"});
  ASSERT_TRUE(run("first\nsecond\n"));
  ASSERT_EQ(session.asked.size(), 2U);
  ASSERT_EQ(session.asked[1].size(), 1U);
  EXPECT_EQ(session.asked[1][0].content, "second");
}

TEST_F(ChatLoopTest, AFullContextLeavesTheConversationUsable) {
  setup.interactive = true;
  session.will_say({"hi"});
  session.will_fail(ErrorCode::kContextFull, "it does not fit");
  session.will_say({"ok"});
  ASSERT_TRUE(run("one\nvery long\nshort\n"));
  EXPECT_THAT(notes.text(), HasSubstr("it does not fit; /clear starts a new conversation\n"));
  EXPECT_EQ(answers.text(), "hi\nok\n");
  ASSERT_EQ(session.asked[2].size(), 3U) << "the message that did not fit must be gone";
  EXPECT_EQ(session.asked[2][2].content, "short");
}

TEST_F(ChatLoopTest, SaysThatTheContextFilledUpInAnAnswer) {
  session.will_say({"cut"}, StopReason::kContextFull);
  ASSERT_TRUE(run("one\n"));
  EXPECT_THAT(notes.text(), HasSubstr("context of 128 tokens is full; /clear"));
}

TEST_F(ChatLoopTest, FailuresEndAConversationNobodyWatches) {
  session.will_fail(ErrorCode::kIo, "disk gone");
  session.will_say({"never"});
  const auto status = run("one\ntwo\n");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_EQ(session.asked.size(), 1U);
}

TEST_F(ChatLoopTest, EndsWhereNoOtherMessageCouldBeAnswered) {
  setup.interactive = true;
  bool lost = false;
  setup.must_reopen = [&lost] { return lost; };
  session.will_fail(ErrorCode::kIo, "not this one");
  session.will_say({"hi"}, StopReason::kEndOfText, [&lost] { lost = true; });
  session.will_fail(ErrorCode::kIo, "a worker is lost");
  const auto status = run("one\ntwo\nthree\nfour\n");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "a worker is lost");
  EXPECT_EQ(session.asked.size(), 3U);
}

TEST_F(ChatLoopTest, AReaderThatLeftEndsItQuietly) {
  answers.close_reader();
  session.will_say({"a", "b"});
  session.will_say({"never"});
  EXPECT_TRUE(run("one\ntwo\n"));
  EXPECT_EQ(session.asked.size(), 1U);
  EXPECT_EQ(notes.text(), "");
}

}  // namespace
}  // namespace hypura
