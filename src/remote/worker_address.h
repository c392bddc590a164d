// Where a worker listens.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/result.h"

namespace hypura {

struct WorkerAddress {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;

  bool operator==(const WorkerAddress&) const = default;
};

// "127.0.0.1:52525", "box:52525" or "[::1]:52525". Fails with kUsage.
Result<WorkerAddress> parse_worker_address(const std::string& text);

// As it is written.
std::string to_string(const WorkerAddress& address);

// Whether only this machine reaches it: an address of the loopback interface, or its name.
bool is_loopback(const WorkerAddress& address);

}  // namespace hypura
