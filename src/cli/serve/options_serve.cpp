#include "cli/serve/options_serve.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>

#include "cli/options/model_options.h"
#include "cli/options/number_option.h"
#include "server/access.h"
#include "server/json/time.h"
#include "server/server_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

const NumberRange kPort{0, 65535, true, "a whole number from 0 to 65535; 0 picks a free port"};
const NumberRange kParallel{1, 256, true, "a whole number from 1 to 256"};
const NumberRange kQueue{0, 1e6, true, "a whole number from 0 to 1000000"};
const NumberRange kGrace{0, 3600, false, "a number of seconds from 0 to 3600"};

constexpr const char* kServed = "Server";
constexpr const char* kAnswers = "Answers";

constexpr const char* kServeFooter =
    R"(Serves the Ollama (/api), OpenAI (/v1) and Anthropic (/v1/messages) APIs, and a chat page at /.
The first model loads at once, the others on first use: without MODEL, and with --catalogue, those
of `hypura list` too, as they come and go. Ctrl-C stops after the running answers.
SIGUSR1 gives back all memory that the loaded model can do without, SIGUSR2 takes it again; see POST /hypura/memory.
Environment variables, used where the flag is not given: OLLAMA_HOST, OLLAMA_ORIGINS, OLLAMA_KEEP_ALIVE,
OLLAMA_CONTEXT_LENGTH, OLLAMA_NUM_PARALLEL, OLLAMA_MAX_QUEUE, HYPURA_API_KEY.

Examples:
  hypura serve
  hypura serve model.gguf --memory 6G
  hypura serve model.gguf --port 11434
  hypura serve qwen3:30b --catalogue --models /data/models
  HYPURA_API_KEY=secret hypura serve model.gguf --host 0.0.0.0

Exit codes: 0 stopped, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output, 130 stopped at once)";

std::string host_complaint(const std::string& text) {
  const bool v6 = text.starts_with('[') ? text.ends_with(']') : text.find(':') != text.rfind(':');
  if (text.empty() || text.find_first_of(" /@") != std::string::npos) {
    return "'" + text + "' is not a host; write it like 127.0.0.1";
  }
  return text.find(':') == std::string::npos || v6 ? std::string()
                                                   : "'" + text + "' contains a port; use --port for it";
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string word(trimmed(std::string_view(text).substr(at, comma - at)));
    if (!word.empty()) {
      words.push_back(word);
    }
    at = comma + 1;
  }
  return words;
}

std::string origins_complaint(const std::string& text) {
  for (const std::string& rule : split_list(text)) {
    if (Status status = check_origin_rule(rule); !status) {
      return status.error().message;
    }
  }
  return split_list(text).empty() ? "the list is empty" : "";
}

// Go's notation, or seconds.
Result<KeepAlive> read_keep_alive_text(const std::string& text) {
  const bool seconds = text.find_first_not_of("+-0123456789") == std::string::npos;
  auto duration = parse_duration(seconds ? text + "s" : text);
  if (!duration) {
    return fail(
        ErrorCode::kUsage,
        "'{}' is not a duration; write it like 5m, 24h, 30 (seconds), 0 (unload after each answer) or -1 (never)",
        text);
  }
  return KeepAlive{*duration};
}

std::string keep_alive_complaint(const std::string& text) {
  const auto time = read_keep_alive_text(text);
  return time ? std::string() : time.error().message;
}

void add_server_options(CLI::App& command, ServeOptions& options) {
  const auto add = [&](const char* flag, const std::function<void(const std::string&)>& set, const char* text) {
    return command.add_option_function<std::string>(flag, set, text)->group(kServed);
  };
  add(
      "--host", [&options](const std::string& host) { options.host = host; },
      "Address to listen on (default 127.0.0.1: this machine only)")
      ->check(host_complaint)
      ->option_text("HOST");
  add_number(command, "--port", "Port to listen on (default 8080; Ollama's is 11434)", kPort, [&options](double port) {
    options.port = static_cast<uint16_t>(port);
  })->group(kServed);
  add(
      "--api-key", [&options](const std::string& key) { options.api_key = key; },
      "API key that clients must send; use HYPURA_API_KEY to keep it out of ps")
      ->check([](const std::string& key) { return key.empty() ? "the key is empty" : ""; })
      ->option_text("KEY");
  add(
      "--origins", [&options](const std::string& list) { options.origins = split_list(list); },
      "Web origins to allow besides this machine's, separated by commas; * matches any text")
      ->check(origins_complaint)
      ->option_text("LIST");
  add_number(command, "--grace", "Seconds to let running requests finish at shutdown (default 10)", kGrace,
             [&options](double seconds) { options.grace = seconds; })
      ->group(kServed);
  command
      .add_flag("--allow-changes", options.allow_changes,
                "Let clients on other machines change the models and their memory")
      ->group(kServed);
  command.add_flag("--verbose", options.verbose, "Show the memory ledger and the log")->group(kServed);
}

void add_answer_options(CLI::App& command, ServeOptions& options) {
  add_number(command, "--parallel", "Parallel requests (default 4), which share the KV cache", kParallel,
             [&options](double n) { options.parallel = static_cast<uint32_t>(n); })
      ->group(kAnswers);
  add_number(command, "--queue", "Requests that may wait in the queue (default 512)", kQueue, [&options](double n) {
    options.queue = static_cast<uint32_t>(n);
  })->group(kAnswers);
  command
      .add_option_function<std::string>(
          "--keep-alive",
          [&options](const std::string& text) {
            if (const auto time = read_keep_alive_text(text)) {
              options.keep_alive = *time;
            }
          },
          "Time an idle model stays loaded: 5m, 30, 0, or -1 forever (default 5m)")
      ->check(keep_alive_complaint)
      ->option_text("TIME")
      ->group(kAnswers);
}

// Reads one variable with the rules of its flag.
class EnvironmentReader {
 public:
  explicit EnvironmentReader(const Environment& environment) : environment_(environment) {}

  template <class Value, class Read>
  void fill(std::optional<Value>& value, const char* variable, Read read) {
    const auto text = value ? std::nullopt : environment_(variable);
    if (!status_ || !text || text->empty()) {
      return;
    }
    Result<std::optional<Value>> given = read(*text);
    if (given) {
      value = std::move(*given);
    } else {
      status_ = propagate(given.error(), variable);
    }
  }

  const Status& status() const { return status_; }

 private:
  const Environment& environment_;
  Status status_;
};

// Ollama takes 0 for its own default.
auto count_reader(const NumberRange& range) {
  return [&range](const std::string& text) -> Result<std::optional<uint32_t>> {
    if (text == "0") {
      return std::optional<uint32_t>();
    }
    const auto number = parse_number(text, range);
    if (!number) {
      return fail(ErrorCode::kUsage, "'{}' is not {}", text, range.wording);
    }
    return std::optional(static_cast<uint32_t>(*number));
  };
}

struct HostAndPort {
  std::string host;
  std::optional<uint16_t> port;
};

// "0.0.0.0", "host:11434", ":11434", "http://host:80/", "[::1]:11434".
Result<HostAndPort> read_ollama_host(const std::string& text) {
  std::string rest(trimmed(text));
  HostAndPort result;
  if (const size_t scheme = rest.find("://"); scheme != std::string::npos) {
    if (rest.substr(0, scheme) != "http") {
      return fail(ErrorCode::kUsage,
                  "'{}' needs {}, which this server does not support; leave it out, or put a proxy "
                  "that does in front",
                  text, rest.substr(0, scheme));
    }
    rest.erase(0, scheme + 3);
    result.port = uint16_t{80};
  } else {
    result.port = uint16_t{11434};
  }
  rest = rest.substr(0, rest.find('/'));
  const size_t colon = rest.rfind(':');
  const bool v6_alone = rest.find(':') != colon && !rest.starts_with('[');
  if (colon != std::string::npos && !v6_alone && rest.find(']', colon) == std::string::npos) {
    const auto port = parse_number(rest.substr(colon + 1), kPort);
    if (!port) {
      return fail(ErrorCode::kUsage, "the port in '{}' is not {}", text, kPort.wording);
    }
    result.port = static_cast<uint16_t>(*port);
    rest.resize(colon);
  }
  result.host = rest.empty() ? kServeHost : rest;
  if (const std::string complaint = host_complaint(result.host); !complaint.empty()) {
    return fail(ErrorCode::kUsage, "{}", complaint);
  }
  return result;
}

}  // namespace

CLI::App* add_serve_command(CLI::App& program, ServeOptions& options) {
  CLI::App* command = program.add_subcommand("serve", "Serve the Ollama, OpenAI and Anthropic APIs over HTTP");
  command->group("Commands")->footer(kServeFooter);
  command
      ->add_option(
          "MODEL", options.models,
          "GGUF files or names that `hypura list` shows (default: the bundled demo model, and all on the list)")
      ->check(named)
      ->option_text("...")
      ->group("Model and memory");
  command->add_flag("--catalogue", options.catalogue, "Offer all models on this machine besides those named")
      ->group("Model and memory");
  add_engine_options(
      *command, options.engine, [&options](uint32_t tokens) { options.context = tokens; }, "Model and memory");
  add_chat_template_option(*command, options.engine.chat_template)->group("Model and memory");
  options.engine.keep_kv = true;
  add_kv_disk_option(*command, options.engine.kv_disk)->group("Model and memory");
  add_answer_options(*command, options);
  add_server_options(*command, options);
  return command;
}

Status check_serve_options(const ServeOptions& options) {
  if (!options.engine.chat_template.empty() && options.models.empty()) {
    return fail(ErrorCode::kUsage, "--chat-template is for the models that are named; name one");
  }
  if (options.models.size() > 1 && !options.engine.mirrors.empty()) {
    return fail(ErrorCode::kUsage,
                "--mirror '{}' is a copy of one model, but {} models are given; serve one, or leave out the mirrors",
                options.engine.mirrors.front().string(), options.models.size());
  }
  if (!options.engine.workers.empty() && (options.models.size() != 1 || options.catalogue)) {
    return fail(ErrorCode::kUsage, "--worker {} has one model; serve that alone, by its name and without --catalogue",
                options.engine.workers.front());
  }
  return {};
}

std::optional<std::string> process_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Status add_serve_environment(ServeOptions& options, const Environment& environment) {
  EnvironmentReader reader(environment);
  std::optional<HostAndPort> address;
  if (!options.host || !options.port) {
    reader.fill(address, "OLLAMA_HOST", [](const std::string& text) -> Result<std::optional<HostAndPort>> {
      return read_ollama_host(text).map([](HostAndPort read) { return std::optional(std::move(read)); });
    });
  }
  if (address) {
    options.host = options.host.value_or(address->host);
    options.port = options.port ? options.port : address->port;
  }
  reader.fill(options.origins, "OLLAMA_ORIGINS",
              [](const std::string& text) -> Result<std::optional<std::vector<std::string>>> {
                const std::string complaint = origins_complaint(text);
                if (!complaint.empty()) {
                  return fail(ErrorCode::kUsage, "{}", complaint);
                }
                return std::optional(split_list(text));
              });
  reader.fill(options.keep_alive, "OLLAMA_KEEP_ALIVE", [](const std::string& text) -> Result<std::optional<KeepAlive>> {
    return read_keep_alive_text(text).map([](KeepAlive read) { return std::optional(read); });
  });
  static const NumberRange kTokens{1, std::numeric_limits<int32_t>::max(), true, "a whole number of 1 or more"};
  reader.fill(options.context, "OLLAMA_CONTEXT_LENGTH", count_reader(kTokens));
  reader.fill(options.parallel, "OLLAMA_NUM_PARALLEL", count_reader(kParallel));
  reader.fill(options.queue, "OLLAMA_MAX_QUEUE", count_reader(kQueue));
  reader.fill(options.api_key, "HYPURA_API_KEY",
              [](const std::string& text) -> Result<std::optional<std::string>> { return std::optional(text); });
  return reader.status();
}

}  // namespace hypura
