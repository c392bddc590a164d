// The tensors of a generated model, architecture by architecture, and how each is filled.
#pragma once

#include <vector>

#include "make_model/plan.h"
#include "make_model/vocab.h"

namespace hypura {

// Those of every layer of `plan.shape`, in file order.
std::vector<TensorPlan> plan_tensors(const GeneratorPlan& plan, const Vocab& vocab);

}  // namespace hypura
