// The commands. Each returns the program's exit code, or the error that ends it.
#pragma once

#include <filesystem>
#include <vector>

#include "cli/options/options.h"
#include "hypura/result.h"

namespace hypura {

// One prompt, one answer on standard output.
Result<int> run_command(const RunOptions& options);

// Measured runs: progress on standard error, a table of figures on standard output.
Result<int> bench_command(const BenchOptions& options);

// A conversation: lines from the terminal or standard input, answers on standard output.
Result<int> chat_command(const RunOptions& options);

// Fetches a model by its name: questions and progress on standard error, its path on standard output. `folders` are
// looked through as well for what is there already; `yes`: without a question.
Result<int> pull_command(const PullOptions& options, const std::vector<std::filesystem::path>& folders, bool yes);

// A model's plan in words, as JSON or as a page, without loading it. Where there is no plan (a budget too small, say)
// the model is shown all the same, and the reason is the error.
Result<int> inspect_command(const InspectOptions& options);

// The processor and the GPUs, and why others are not used, as a table or as JSON, on standard output.
Result<int> devices_command(const DevicesOptions& options);

// What this machine can do, as a table or as JSON, on standard output.
Result<int> profile_command(const ProfileCommandOptions& options);

// A repacked copy of a model, written beside it.
Result<int> repack_command(const RepackCommandOptions& options);

// What is kept of conversations on disk: a table or JSON on standard output; or removes it.
Result<int> kv_command(const KvOptions& options);

// The models on this machine: a list, or one in detail, on standard output; or removes one that Hypura fetched or
// created. `folders` are those of --models.
Result<int> models_command(const ModelsOptions& options, const std::vector<std::filesystem::path>& folders);

// Computes experts for other machines, until SIGINT or SIGTERM: a process that does, and this one, which starts another
// when that ends. Each event is a line on standard error.
Result<int> worker_command(const WorkerCommandOptions& options);

// A server, until SIGINT or SIGTERM. Says on standard error what it serves where, then a line for each request.
// `folders` are those of --models.
Result<int> serve_command(const ServeOptions& options, const std::vector<std::filesystem::path>& folders, bool yes);

}  // namespace hypura
