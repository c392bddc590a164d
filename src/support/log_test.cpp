#include "support/log.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "hypura/log.h"

namespace hypura {
namespace {

TEST(Log, GoesWhereAProgramWantsIt) {
  const auto sinks = logger().sinks();
  std::vector<std::pair<LogLevel, std::string>> heard;
  set_log(LogLevel::kInfo, [&](LogLevel level, std::string_view line) { heard.emplace_back(level, line); });
  logger().debug("not asked for");
  logger().info("{} of {}", 1, 2);
  logger().error("at last");
  set_log(LogLevel::kDebug, nullptr);
  logger().error("to nobody");
  logger().sinks() = sinks;
  init_log(false);
  const std::vector<std::pair<LogLevel, std::string>> wanted = {{LogLevel::kInfo, "1 of 2"},
                                                                {LogLevel::kError, "at last"}};
  EXPECT_EQ(heard, wanted);
}

}  // namespace
}  // namespace hypura
