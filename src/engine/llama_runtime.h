// llama.cpp's process-wide state: its log, its backends, its thread pools.
#pragma once

#include <memory>

#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

// Loads ggml's CPU backends (the variant for this processor) and sends llama.cpp's log to ours, at debug level. Once in
// a process; later calls give the first result. Thread-safe. Fails with kInternal, naming the folder searched.
Status init_llama();

// llama.cpp's own programs log to the terminal from the code that we share with them (chat templates): not here. Once
// in a process; init_llama does it too. Thread-safe.
void silence_common_log();

// The last error that llama.cpp logged on this thread since the last call; empty when there was none. It is how its
// loader tells what it did not like.
std::string take_llama_error();

struct ThreadpoolDeleter {
  void operator()(ggml_threadpool* pool) const;
};
using ThreadpoolPtr = std::unique_ptr<ggml_threadpool, ThreadpoolDeleter>;

// A pool of `threads` compute threads, the caller's included. nullptr when this build of ggml has none of its own.
ThreadpoolPtr make_threadpool(uint32_t threads);

}  // namespace hypura
