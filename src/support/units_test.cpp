#include "support/units.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(Units, ParsesWhatPeopleWrite) {
  EXPECT_EQ(parse_bytes("24M").value(), 24 * kMiB);
  EXPECT_EQ(parse_bytes("6g").value(), 6 * kGiB);
  EXPECT_EQ(parse_bytes("1.5G").value(), kGiB + 512 * kMiB);
  EXPECT_EQ(parse_bytes("512KiB").value(), 512 * kKiB);
  EXPECT_EQ(parse_bytes("1048576").value(), kMiB);
}

TEST(Units, RefusesTheRest) {
  for (const char* text :
       {"", "M", "-1G", "0", "12Q", "6Gx", "nan", "inf", "1e30G", "6 G", "auto", "1.2.3M", ".", "0x10M", "1e3"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(Units, FormatsForReading) {
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(24 * kMiB), "24.0 MiB");
  EXPECT_EQ(format_bytes(6 * kGiB + 512 * kMiB), "6.5 GiB");
}

TEST(Units, Rounds) {
  EXPECT_EQ(round_up(4097, 4096), 8192U);
  EXPECT_EQ(round_down(4097, 4096), 4096U);
}

}  // namespace
}  // namespace hypura
