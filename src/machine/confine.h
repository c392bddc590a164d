// What a process gives up before it works on what strangers send it. Nothing of it can be undone.
//
// Linux: no new privileges (a program that it would start has none either), Landlock, seccomp and a limit of memory,
// each as far as the kernel has it. macOS has none of these here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hypura {

// What is not in force, a sentence each; empty: all is.
using Unconfined = std::vector<std::string>;

// From now on this thread, and those that it makes, get no new privileges, open no file and no folder, and (Landlock of
// Linux 6.7) make no TCP connection and listen nowhere. What is open stays open.
Unconfined confine_files();

// From now on no thread of the process starts a program, opens a file or a socket, or has memory that can be executed
// and was not before: such calls fail. The process may have `more_memory` bytes beyond what it has now. Threads can be
// made and files that are open be read, io_uring included. After confine_files().
Unconfined confine_calls(uint64_t more_memory);

}  // namespace hypura
