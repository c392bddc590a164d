// The command line as a struct. Reading it opens no file and prints nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/options_bench.h"
#include "cli/devices/options_devices.h"
#include "cli/inspect/options_inspect.h"
#include "cli/kv/options_kv.h"
#include "cli/models/options_models.h"
#include "cli/profile/options_profile.h"
#include "cli/pull/options_pull.h"
#include "cli/repack/options_repack.h"
#include "cli/serve/options_serve.h"
#include "cli/worker/options_worker.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

enum class StatsFormat { kText, kJson };

// What `hypura run` and `hypura chat` were asked for.
struct RunOptions {
  EngineOptions engine;  // an empty `engine.model` stands for the demo model
  SamplingOptions sampling;
  int32_t max_tokens = -1;                    // -1: no limit of ours
  std::optional<std::string> prompt;          // --prompt; in a chat the first message
  std::optional<std::filesystem::path> file;  // --file; "-" is standard input; never together with `prompt`
  std::optional<std::string> system;
  bool raw = false;  // no chat template
  StatsFormat stats = StatsFormat::kText;
  bool verbose = false;
  std::optional<std::filesystem::path>
      trace;  // --trace: where the routing is written; engine.record_routing is then set
};

struct CommandLine {
  enum class Action {
    kPrint,
    kRun,
    kChat,
    kBench,
    kDevices,
    kInspect,
    kKv,
    kModels,
    kProfile,
    kPull,
    kRepack,
    kServe,
    kWorker
  };
  Action action = Action::kPrint;
  std::string text;                                  // kPrint: help or version, for standard output
  RunOptions options;                                // kRun, kChat
  BenchOptions bench;                                // kBench
  DevicesOptions devices;                            // kDevices
  InspectOptions inspect;                            // kInspect
  KvOptions kv;                                      // kKv
  ModelsOptions models;                              // kModels
  ProfileCommandOptions profile;                     // kProfile
  PullOptions pull;                                  // kPull
  RepackCommandOptions repack;                       // kRepack
  ServeOptions serve;                                // kServe
  WorkerCommandOptions worker;                       // kWorker
  std::vector<std::filesystem::path> model_folders;  // --models, of all commands that take a model's name
  bool yes = false;                                  // --yes: fetch a model that is not here without asking
};

// Reads the words after the program's name. Fails with kUsage and a sentence that names the flag.
Result<CommandLine> parse_command_line(std::vector<std::string> words);

}  // namespace hypura
