// Plain llama.cpp at its best under a cap of a GPU's memory: with the most of its layers there that fit (-ngl), with
// all layers but for their experts (--cpu-moe), with the experts of as many layers as fit (--n-cpu-moe).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bench/run/run_spec.h"
#include "hypura/result.h"

namespace hypura {

// Whether a model fits so divided. A division that puts less on the GPU fits wherever one does that puts more there.
using SplitFits = std::function<Result<bool>(const PlainSplit&)>;

// For a model of so many layers: "all in VRAM" alone where that fits; else the largest -ngl and, for one with experts,
// --cpu-moe and the least --n-cpu-moe, as far as they fit. Asks a few times for each, by halves. Fails as `fits`.
Result<std::vector<PlainSplit>> best_splits(uint32_t layers, bool experts, const SplitFits& fits);

// The run of plain llama.cpp that stands against `ours`: divided so, the whole prompt in as few passes as pay.
RunSpec split_spec(RunSpec ours, const PlainSplits& splits, const PlainSplit& split);

// The splits that stand against the hypura run `spec`, under the cap that its plan keeps to. Without a GPU where that
// plan uses none, or has the processors stand for one. Nothing is loaded: llama.cpp tells the sizes. Fails as
// plan_model() and PlainLlama::device_bytes().
Result<PlainSplits> find_plain_splits(const RunSpec& spec);

}  // namespace hypura
