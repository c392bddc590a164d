// Plans a model and writes it to disk.
#pragma once

#include <vector>

#include "hypura/result.h"
#include "make_model/header.h"
#include "make_model/make_model.h"
#include "make_model/plan.h"

namespace hypura {

// What was written. The parts point into the plan's tensors.
struct WrittenModel {
  GeneratorPlan plan;
  std::vector<Part> parts;
};

// make_model(), telling more. A failure leaves earlier parts behind, never half of one.
Result<WrittenModel> write_model(const ModelSpec& spec);

}  // namespace hypura
