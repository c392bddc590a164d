// Tells models apart, for what is kept about them between runs.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace hypura {

// Of its tensors' names, shapes and types, the sizes of its files, and the first MiB of the first, which holds most
// keys; that MiB is read. Any thread.
uint64_t model_fingerprint(const Model& model);

}  // namespace hypura
