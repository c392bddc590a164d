// The process that works for others, and who starts it.
//
// It has the listening socket as standard input and a pipe as standard output, on which it writes a byte when it is
// ready to serve. Nothing else is inherited but standard error, for the log.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cli/worker/options_worker.h"
#include "hypura/result.h"
#include "storage/open.h"

namespace hypura {

struct WorkerProcess {
  pid_t process = 0;
  FileDescriptor status;  // readable when it is ready, and when it has ended
};

// How a process ended, in words: "with code 3", "by signal 9".
std::string how_it_ended(int wait_status);

// Starts `program` with `arguments`. Fails with kIo.
Result<WorkerProcess> start_worker_process(const std::filesystem::path& program,
                                           const std::vector<std::string>& arguments, int listener);

// What the process does: opens the model, gives up what it does not need, serves. Gives the exit code. Fails as
// open_worker, with kUsage where it was not started as above.
Result<int> work_for_others(const WorkerCommandOptions& options);

}  // namespace hypura
