// The machine as a benchmark finds and changes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hypura/result.h"

namespace hypura {

// Writes `text` to a kernel setting. Fails with kIo, naming the file and the reason.
Status write_setting(const std::filesystem::path& path, const std::string& text);

// Touches `wanted` bytes of memory, or what is there if that is less, and lets go of it. The host of a virtual machine
// may have taken back what lay free, and the first use of each such page then waits for the host: the run that comes
// first would pay seconds for the others.
void touch_memory(uint64_t wanted);

// What belongs next to every figure.
struct MachineFacts {
  std::string processor;
  unsigned cores = 0;  // that computing may use
  uint64_t memory = 0;
  std::string kernel;
  double load_average = 0;  // of the last minute
};
MachineFacts read_machine_facts();

// Held by the one benchmark that may run on the machine; ends with the process. Fails with kUsage when another runs.
Status lock_machine();

// From the first call on, SIGINT, SIGTERM and SIGHUP only make stop_requested() true, so that all settings are restored
// on the way out.
void catch_stop_signals();
bool stop_requested();

}  // namespace hypura
