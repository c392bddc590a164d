// Where a worker listens.
#pragma once

#include <string>

#include "hypura/result.h"
#include "remote/worker_address.h"
#include "storage/open.h"

namespace hypura {

// "127.0.0.1:52525", "[::1]:52525", "localhost:52525": an IP address or this machine's own name, and a port. Fails with
// kUsage.
Result<WorkerAddress> read_listen_address(const std::string& text);

// A socket that listens there. Fails with kIo, saying what is in the way.
Result<FileDescriptor> listen_at(const WorkerAddress& address);

}  // namespace hypura
