// For tests: a command line that must be refused, and what the sentence says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "cli/options/options.h"

namespace hypura {

struct Refused {
  std::vector<std::string> words;
  std::vector<std::string> says;
};

// The test's name in a report.
inline std::ostream& operator<<(std::ostream& out, const Refused& refused) {
  for (const std::string& word : refused.words) {
    out << word << ' ';
  }
  return out;
}

inline void expect_refused(const Refused& refused) {
  const auto parsed = parse_command_line(refused.words);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
  for (const std::string& part : refused.says) {
    EXPECT_THAT(parsed.error().message, testing::HasSubstr(part));
  }
  EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << parsed.error().message;
}

}  // namespace hypura
