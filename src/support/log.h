// The log: spdlog to stderr, because stdout carries the answer, unless hypura/log.h said otherwise. It is no logger of
// spdlog's own registry, which is that of the program that embeds us. Safe to use from any thread.
#pragma once

#include <spdlog/spdlog.h>

namespace hypura {

spdlog::logger& logger();

// For programs of ours: warnings and errors only, or everything down to llama.cpp's own messages. Call once, before
// other threads start.
void init_log(bool verbose);

}  // namespace hypura
