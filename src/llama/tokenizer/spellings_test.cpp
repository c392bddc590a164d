#include "llama/tokenizer/spellings.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(Spellings, FindsTheShortestAndTheLongest) {
  const Spellings spellings({"<b>", "<", "<bold>", "\xff\xfe", "<b>", ""});
  const Spellings::Found found = spellings.at_beginning("<b> and so on");
  EXPECT_EQ(spellings[found.shortest], "<");
  EXPECT_EQ(spellings[found.longest], "<b>");
  EXPECT_EQ(spellings[spellings.at_beginning("<bold>").longest], "<bold>");
  EXPECT_EQ(spellings[spellings.at_beginning("<bol").longest], "<");
  EXPECT_EQ(spellings[spellings.at_beginning("\xff\xfe\xfd").longest], "\xff\xfe");
}

TEST(Spellings, FindsNothingWhereThereIsNothing) {
  const Spellings spellings({"<b>", "end"});
  for (const char* text : {"", "b>", "<", "<c>", "en", "x<b>"}) {
    EXPECT_EQ(spellings.at_beginning(text).longest, Spellings::kNone) << text;
  }
  EXPECT_EQ(Spellings().at_beginning("x").shortest, Spellings::kNone);
}

}  // namespace
}  // namespace hypura
