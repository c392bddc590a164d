#include "residency/prompt_speed.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(PromptSpeed, ReadsWhileItComputes) {
  const PromptSpeed speed({1, 0.1, 2, 0.5});
  EXPECT_EQ(speed.seconds({}), 0);
  EXPECT_DOUBLE_EQ(speed.seconds({10, 1}), 1 + 10 * 0.1 + 10 * 0.5);  // it computes longer than it reads
  EXPECT_DOUBLE_EQ(speed.seconds({10, 5}), 1 + 10 * 0.1 + 5 * 2);
}

TEST(PromptSpeed, LearnsFromShares) {
  PromptSpeed speed({0, 0, 1, 1});
  speed.note({100, 10}, 50, 40);  // of which 10 s of computing
  EXPECT_DOUBLE_EQ(speed.parts().row, 0.1);
  EXPECT_DOUBLE_EQ(speed.parts().miss, 5);
  speed.note({100, 10}, 20, 0);  // the disk was not waited for: it is no slower than that
  EXPECT_DOUBLE_EQ(speed.parts().row, 0.1 + PromptSpeed::kBelieved * 0.1);
  EXPECT_DOUBLE_EQ(speed.parts().miss, 5 - PromptSpeed::kBelieved * 3);
  speed.note({100, 1}, 20, 0);  // nor does that say that it is slower
  EXPECT_DOUBLE_EQ(speed.parts().miss, 5 - PromptSpeed::kBelieved * 3);
  speed.note_way({100, 1}, 3);
  EXPECT_DOUBLE_EQ(speed.parts().way, 0.03);
}

TEST(PromptSpeed, ForgetsWhatItLearned) {
  PromptSpeed speed({0, 0.1, 1, 1});
  speed.note_way({1, 0}, 100);
  for (int i = 0; i < 20000; ++i) {
    speed.forget();
  }
  EXPECT_NEAR(speed.parts().way, 0.1, 1e-3);
}

}  // namespace
}  // namespace hypura
