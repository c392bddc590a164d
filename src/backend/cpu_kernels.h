// Which of ggml's CPU kernels compute here.
#pragma once

#include <string>

namespace hypura {

// What the CPU backend that is loaded was compiled for, as ggml tells it: "SSE3=1 AVX=1 AVX2=1 ... REPACK=1". Where it
// is the same, and so is ggml's version, kernels give the same bits. Empty when no CPU backend is loaded. Any thread.
std::string cpu_kernels();

}  // namespace hypura
