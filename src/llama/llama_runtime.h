// llama.cpp's process-wide state: its log, its backends, its thread pools.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

// Loads ggml's CPU backends (the variant for this processor), sends llama.cpp's log to ours, at debug level, and sets
// what its assertions do (llama_guard.h). Once in a process; later calls give the first result. Thread-safe. Fails with
// kInternal, naming the folder searched.
Status init_llama();

// Whether libraries of the version `found` ("0.5.0", "0.5.1-dev") are what was compiled for: between versions
// llama.cpp's structs change without a word. Fails with kInternal, naming both.
Status check_llama_version(std::string_view found, std::string_view compiled_for);

// ggml's version and commit.
std::string ggml_build();

// llama.cpp's own programs log to the terminal from the code that we share with them (chat templates): not here. Once
// in a process; init_llama does it too. Thread-safe.
void silence_common_log();

// Why llama.cpp failed: the first error that it logged on this thread since the last call and that says more than that
// something failed, without names of functions and the full stop. Its loader tells causes in no other way. Never empty.
std::string take_llama_error();

struct ThreadpoolDeleter {
  void operator()(ggml_threadpool* pool) const;
};
using ThreadpoolPtr = std::unique_ptr<ggml_threadpool, ThreadpoolDeleter>;

// A pool of `threads` compute threads, the caller's included. nullptr when this build of ggml has none of its own.
ThreadpoolPtr make_threadpool(uint32_t threads);

}  // namespace hypura
