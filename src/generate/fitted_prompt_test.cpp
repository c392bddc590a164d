#include "generate/fitted_prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "generate/generator_for_test.h"

namespace hypura {
namespace {

using testing::ElementsAre;

class DropOldest : public testing::Test {
 protected:
  void say(const std::string& role, size_t size) {
    messages_.push_back(says(role, role + std::to_string(messages_.size())));
    sizes_.push_back(size);
  }

  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const ChatMessage& message : messages_) {
      names.push_back(message.content);
    }
    EXPECT_EQ(names.size(), sizes_.size());
    return names;
  }

  std::vector<ChatMessage> messages_;
  std::vector<size_t> sizes_;
};

TEST_F(DropOldest, LeavesOutAsFewAsNeeded) {
  for (int i = 0; i < 5; ++i) {
    say("user", 10);
  }
  EXPECT_TRUE(drop_oldest(messages_, sizes_, 15));
  EXPECT_THAT(left(), ElementsAre("user2", "user3", "user4"));
  EXPECT_TRUE(drop_oldest(messages_, sizes_, 0)) << "at least one, or the caller would not ask";
  EXPECT_THAT(left(), ElementsAre("user3", "user4"));
}

TEST_F(DropOldest, KeepsTheSystemsAndTheLast) {
  say("system", 100);
  say("user", 1);
  say("system", 100);
  say("user", 100);
  EXPECT_TRUE(drop_oldest(messages_, sizes_, 1000));
  EXPECT_THAT(left(), ElementsAre("system0", "system2", "user3"));
  EXPECT_FALSE(drop_oldest(messages_, sizes_, 1000));
  EXPECT_EQ(messages_.size(), 3U);
}

TEST_F(DropOldest, AToolsAnswerGoesWithItsCall) {
  say("assistant", 10);
  say("tool", 1);
  say("tool", 1);
  say("assistant", 5);
  say("user", 5);
  EXPECT_TRUE(drop_oldest(messages_, sizes_, 3));
  EXPECT_THAT(left(), ElementsAre("assistant3", "user4"));
}

}  // namespace
}  // namespace hypura
