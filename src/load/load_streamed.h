// llama.cpp's loader over a model some of whose weights are streamed.
#pragma once

#include "load/open_model.h"

namespace hypura {

// Without memory: llama.cpp makes the tensors and allocates nothing for them.
enum class Backing { kMemory, kNothing };

// Makes parts.llama of the request's model, whose tensors are divided as parts.weights says. Where the CPU computes
// all layers, those that are not streamed are read by us, otherwise by llama.cpp, through parts.reader, into the
// buffers that it chooses: the GPU's own for what the GPU computes. Fails as make_llama_model, with kIo, with kBudget.
Status load_streamed(const OpenRequest& request, OpenModel& parts, Backing backing);

}  // namespace hypura
