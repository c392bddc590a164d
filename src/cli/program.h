// The whole program: reads the command line, runs the command, turns errors into one line and an exit code.
#pragma once

#include "hypura/result.h"

namespace hypura {

// What the shell gets when the user stopped the program: 128 + SIGINT.
inline constexpr int kExitInterrupted = 130;

// The exit code an error ends the program with.
int exit_code(ErrorCode code);

// Never throws. Call once, from the main thread, before any other thread is started.
int run_program(int argc, char** argv);

}  // namespace hypura
