// `hypura serve` on the command line and in the environment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "hypura/result.h"
#include "server/model_host.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace hypura {

// What `hypura serve` was asked for. What has a value here but none in the flags comes from the environment, and else
// is as it stands.
struct ServeOptions {
  std::vector<std::string> models;  // names or files; empty: the demo model and the catalogue
  bool catalogue = false;           // offer the catalogue besides `models`
  bool allow_changes = false;       // as ServerOptions
  EngineOptions engine;             // `model` is not used
  std::optional<std::string> host;
  std::optional<uint16_t> port;
  std::optional<uint32_t> context;
  std::optional<uint32_t> parallel;
  std::optional<uint32_t> queue;
  std::optional<std::string> api_key;
  std::optional<std::vector<std::string>> origins;
  std::optional<KeepAlive> keep_alive;
  double grace = 10;  // seconds that answers get when the server is told to stop
  bool verbose = false;
};

inline constexpr const char* kServeHost = "127.0.0.1";
inline constexpr uint16_t kServePort = 8080;

// Adds the command; it must outlive the parse, as must `options`.
CLI::App* add_serve_command(CLI::App& program, ServeOptions& options);

// Fails with kUsage on flags that cannot mean anything together.
Status check_serve_options(const ServeOptions& options);

// An environment variable's value; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const char* variable)>;
std::optional<std::string> process_environment(const char* variable);

// Fills in what no flag gave from OLLAMA_HOST, OLLAMA_ORIGINS, OLLAMA_KEEP_ALIVE, OLLAMA_CONTEXT_LENGTH,
// OLLAMA_NUM_PARALLEL, OLLAMA_MAX_QUEUE and HYPURA_API_KEY. An empty one counts as not set, and so does 0 where a count
// is meant. Fails with kUsage and a sentence that names the variable.
Status add_serve_environment(ServeOptions& options, const Environment& environment);

}  // namespace hypura
