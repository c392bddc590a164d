#include "cli/serving_log.h"

#include "support/log.h"

namespace hypura {

void log_for_serving(bool verbose) {
  logger().set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
  if (!verbose) {
    logger().set_level(spdlog::level::info);
  }
}

}  // namespace hypura
