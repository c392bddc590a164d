// The program's log: spdlog to stderr, because stdout carries the answer. Safe to use from any thread.
#pragma once

#include <spdlog/spdlog.h>

namespace hypura {

// Warnings and errors only, or everything down to llama.cpp's own messages. Call once, before other threads start.
void init_log(bool verbose);

}  // namespace hypura
