// The flags that say which model and inside what: every command that opens a model has them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hypura/engine.h"

namespace hypura {

// For CLI::Option::check: what is wrong with the name of a file or folder; empty: nothing.
std::string named(const std::string& text);

// The positional MODEL; `model` stays empty when it is left out. The option may be given a group.
CLI::Option* add_model_option(CLI::App& command, std::filesystem::path& model);

// --models DIR, repeatable: folders of models besides those that are known.
CLI::Option* add_models_folder_option(CLI::App& command, std::vector<std::filesystem::path>& folders);

// --chat-template FILE, whose text is kept.
CLI::Option* add_chat_template_option(CLI::App& command, std::string& text);

// --memory SIZE; "auto" leaves `bytes` empty.
CLI::Option* add_memory_option(CLI::App& command, std::optional<uint64_t>& bytes);

// --kv-disk SIZE, of which "auto" leaves `bytes` empty.
CLI::Option* add_kv_disk_option(CLI::App& command, std::optional<uint64_t>& bytes);

// Where the options that say what GPUs do are stored, as in EngineOptions.
struct GpuOptions {
  std::string& gpu;
  std::optional<uint64_t>& vram;
  std::vector<uint64_t>& vram_each;
  bool& mixed_compute;
};

// --gpu NAMES, checked for what can be no name, --vram SIZE or SIZE,SIZE, of which "auto" leaves both empty, and
// --mixed-compute. In the group of that name, unless it is null.
void add_gpu_options(CLI::App& command, const GpuOptions& options, const char* group);

// --context N; `set` is called when the flag was given.
void add_context_option(CLI::App& command, std::function<void(uint32_t)> set);

// --threads N; none, where it was not given, is left as it is.
void add_threads_option(CLI::App& command, uint32_t& threads);

// --mirror, in the group of that name; may be repeated.
void add_mirror_option(CLI::App& command, std::vector<std::filesystem::path>& mirrors, const char* group);

// --worker HOST:PORT, which may be repeated, and --split, in the group of that name, unless it is null.
void add_worker_options(CLI::App& command, std::vector<std::string>& workers, WorkerSplit& split, const char* group);

// --trust-network, for workers that are reached over one.
void add_trust_option(CLI::App& command, bool& trust_network, const char* group);

// --draft, --draft-ngrams, --draft-mtp and --draft-tokens, in the group of that name.
void add_draft_options(CLI::App& command, DraftOptions& options, const char* group);

// --memory, --gpu, --vram, --mixed-compute, --context, --threads, --kv-type, --no-direct-io, --no-repack,
// --no-repacked, --mirror, those of workers and those of drafts, in the group of that name.
void add_engine_options(CLI::App& command, EngineOptions& options, std::function<void(uint32_t)> set_context,
                        const char* group);

}  // namespace hypura
