#include "support/random_id.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(RandomId, IsThePrefixAndLettersOrDigits) {
  const std::string id = random_id("call_", 8);
  EXPECT_EQ(id.size(), 13);
  EXPECT_EQ(id.substr(0, 5), "call_");
  EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789", 5), std::string::npos) << id;
  EXPECT_NE(random_id("call_", 8), id);
  EXPECT_EQ(random_id("x").size(), 25);
}

}  // namespace
}  // namespace hypura
