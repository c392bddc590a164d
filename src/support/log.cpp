#include "support/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <mutex>
#include <utility>

#include "hypura/log.h"

namespace hypura {

namespace {

LogLevel level_of(spdlog::level::level_enum level) {
  return level <= spdlog::level::debug  ? LogLevel::kDebug
         : level == spdlog::level::info ? LogLevel::kInfo
         : level == spdlog::level::warn ? LogLevel::kWarning
                                        : LogLevel::kError;
}

spdlog::level::level_enum level_of(LogLevel level) {
  return level == LogLevel::kDebug     ? spdlog::level::debug
         : level == LogLevel::kInfo    ? spdlog::level::info
         : level == LogLevel::kWarning ? spdlog::level::warn
                                       : spdlog::level::err;
}

class CallingSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CallingSink(std::function<void(LogLevel, std::string_view)> call) : call_(std::move(call)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    call_(level_of(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}

  std::function<void(LogLevel, std::string_view)> call_;
};

}  // namespace

spdlog::logger& logger() {
  static spdlog::logger log = [] {
    spdlog::logger made("hypura", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made.set_pattern("%^%l%$: %v");
    made.set_level(spdlog::level::warn);
    return made;
  }();
  return log;
}

void init_log(bool verbose) {
  logger().set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
}

void set_log(LogLevel least, std::function<void(LogLevel, std::string_view)> sink) {
  logger().sinks().clear();
  if (sink) {
    logger().sinks().push_back(std::make_shared<CallingSink>(std::move(sink)));
  }
  logger().set_level(level_of(least));
}

}  // namespace hypura
