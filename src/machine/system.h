// What the system calls itself and this machine (man 2 uname). Thread-safe.
#pragma once

#include <string>

namespace hypura {

std::string host_name();       // "atlas"
std::string system_release();  // "Linux 6.1.0-18-amd64"
std::string machine_name();    // "x86_64", "arm64"

}  // namespace hypura
