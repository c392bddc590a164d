#include "cli/worker/options_worker.h"

#include "cli/options/model_options.h"
#include "cli/worker/worker_listener.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr const char* kWorkerFooter =
    R"(Computes experts of MODEL, or the feed-forward parts of a dense one or its whole layers, for `hypura run`, `chat`,
`serve` and `bench` of other machines, which name it with --worker. It has its own copy of the model, its own memory and reads from its own disk; no weight crosses the network.
It serves one of them at a time.

Nothing on the connection is encrypted, and whoever reaches the port can use the worker. So it listens on this machine
only: other machines come in through WireGuard, `ssh -L` or stunnel (docs/guide/workers.md has recipes).

Examples:
  hypura worker model.gguf
  hypura worker qwen3:30b --memory 24G
  hypura worker model.gguf --listen 10.8.0.2:52525 --trust-network

Exit codes: 0 stopped, 1 internal, 2 usage, 3 model, 4 budget, 5 input/output)";

}  // namespace

CLI::App* add_worker_command(CLI::App& program, WorkerCommandOptions& options) {
  CLI::App* command = program.add_subcommand("worker", "Compute layers of a model for other machines")
                          ->group("Commands")
                          ->footer(kWorkerFooter);
  command->add_option("MODEL", options.model, "GGUF file, or the name of a model on this machine")
      ->required()
      ->check(named)
      ->option_text(" ");
  command->add_option("--listen", options.listen, "Address and port to listen on (default 127.0.0.1:52525)")
      ->option_text("ADDRESS");
  add_memory_option(*command, options.memory);
  add_threads_option(*command, options.threads);
  command->add_flag_callback(
      "--no-repacked", [&options] { options.repacked = false; }, "Ignore a repacked copy of the model");
  command->add_flag("--trust-network", options.trust_network,
                    "Listen where other machines reach it, without encryption or a password");
  command->add_flag("--verbose", options.verbose, "Show the log");
  command->add_flag("--inherited", options.inherited)->group("");
  return command;
}

Status check_worker_options(const WorkerCommandOptions& options) {
  const auto address = read_listen_address(options.listen);
  if (!address) {
    return propagate(address.error());
  }
  if (!is_loopback(*address) && !options.trust_network) {
    return fail(ErrorCode::kUsage,
                "--listen {} would let other machines in, and nothing there is encrypted or asks for a password: "
                "whoever reaches the port could use this worker and see what is computed. Listen on 127.0.0.1 and let "
                "others come in through WireGuard, ssh -L or stunnel (docs/guide/workers.md); or give --trust-network "
                "where everyone on that network may",
                options.listen);
  }
  return {};
}

}  // namespace hypura
