// The flags of `hypura inspect`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hypura/placement.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace hypura {

struct InspectOptions {
  std::filesystem::path model;  // empty: the demo model
  bool remote = false;          // `model` is the name of one that is not on this machine
  std::optional<uint64_t> memory;
  std::string gpu = "auto";  // as EngineOptions
  std::optional<uint64_t> vram;
  std::vector<uint64_t> vram_each;
  bool mixed_compute = false;
  std::vector<std::string> workers;
  WorkerSplit split = WorkerSplit::kAuto;
  bool trust_network = false;
  std::optional<uint32_t> context;
  uint32_t threads = 0;  // as EngineOptions
  bool tensors = false;
  bool json = false;                          // instead of text
  std::optional<std::filesystem::path> html;  // besides
};

// Adds the command to `program`, which owns it; its flags are stored in `options`, which must outlive the parsing.
CLI::App* add_inspect_command(CLI::App& program, InspectOptions& options);

}  // namespace hypura
