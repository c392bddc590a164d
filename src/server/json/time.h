// Times and durations as the APIs write them. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hypura/result.h"
#include "server/json/json.h"
#include "server/model_host.h"

namespace hypura {

// "2026-08-21T10:00:00.123456789Z": UTC, with as many digits of the fraction as it has, none for a whole second.
std::string rfc3339(std::chrono::system_clock::time_point time);

// The same for whole seconds since 1970.
std::string rfc3339(int64_t seconds);

// Whole nanoseconds of a time in seconds; 0 for a negative one.
int64_t nanoseconds_of(double seconds);

// "5m", "1h30m", "-1s", "1.5h", "0": Go's notation, units ns, us, ms, s, m, h. Fails with kUsage:
// `time: invalid duration "abc"`, `time: missing unit in duration "5"`, `time: unknown unit "x" in duration "5x"`.
Result<Nanoseconds> parse_duration(std::string_view text);

// The field keep_alive: a duration in Go's notation, or a number of seconds; negative means for ever. None when `value`
// is null. Fails with kUsage.
Result<std::optional<KeepAlive>> read_keep_alive(const Json* value);

}  // namespace hypura
