#include "cli/repack/repack_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(RepackText, SaysSpeedsWithAndWithoutAndTheRoomThatACopyTakes) {
  RepackGain gain;
  gain.plain.budget = 6 * kGiB;
  gain.plain.prediction.tokens_per_second = 4.1;
  gain.plain.prediction.prefill512_seconds = 25.3;
  gain.tokens_per_second = 5.2;
  gain.prefill512_seconds = 20.1;
  gain.copy_bytes = 5 * kGiB;
  gain.assumed = " by assumed speeds";
  const std::string text = repack_gain_text("m\x1b.gguf", gain);
  for (const char* part : {"6.0 GiB of memory by assumed speeds:", "5.20 tok/s with", "4.10 tok/s without",
                           "20.1 s, 25.3 s without", "takes 5.0 GiB of disk"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "file names are made printable";
}

TEST(RepackText, ARefusalSaysWhyAndWhatToDo) {
  RepackGain gain;
  gain.nothing = "it fits";
  const std::string text = repack_refusal("m.gguf", gain);
  for (const char* part : {"m.gguf", "nothing here: it fits;", "--force", "--memory"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(RepackText, ARefusalOffersNothingWhereNothingCanBeWritten) {
  RepackGain gain;
  gain.writable = false;
  gain.nothing = "ggml has no faster layout";
  const std::string text = repack_refusal("m.gguf", gain);
  EXPECT_THAT(text, HasSubstr("m.gguf: there is nothing to repack: ggml has no faster layout"));
  EXPECT_EQ(text.find("--"), std::string::npos);
}

}  // namespace
}  // namespace hypura
