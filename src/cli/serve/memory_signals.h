// SIGUSR1 and SIGUSR2 as wishes for the memory of a server's model.
#pragma once

#include <csignal>
#include <optional>

#include "server/memory_keeper.h"

namespace hypura {

// While one lives, SIGUSR1 asks for the least memory that the model can do with, and SIGUSR2 takes back whatever was
// set by hand. Otherwise either ends the program. One at a time, on the main thread.
class MemorySignals {
 public:
  MemorySignals();
  ~MemorySignals();
  MemorySignals(const MemorySignals&) = delete;
  MemorySignals& operator=(const MemorySignals&) = delete;

  // What the last signal since the last call asks for; none: there was none. Any thread.
  static std::optional<MemoryWish> take();

 private:
  struct sigaction before_less_ = {};
  struct sigaction before_auto_ = {};
};

}  // namespace hypura
