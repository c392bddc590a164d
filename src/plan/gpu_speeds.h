// From what is known of a GPU and of a model to the numbers that a placement is made from.
#pragma once

#include <cstdint>

#include "placement/gpu_speeds.h"
#include "plan/gpu_figures.h"
#include "plan/placement_problem.h"

namespace hypura {

// The speeds of that device with the request's model, in passes of up to `ubatch` tokens. `problem`: of the same
// request, from placement_problem(); its dense weights and groups of experts are those of the result.
GpuSpeeds gpu_speeds(const GpuFigures& gpu, const OpenRequest& request, const PlacementProblem& problem,
                     uint32_t ubatch);

// One matrix in the device's memory, of a pass of up to `ubatch` tokens. The output is of a prompt's last token only.
PassSeconds product_seconds(const GpuFigures& gpu, const TensorInfo& tensor, uint32_t ubatch);

// What a layer without experts takes besides its products, for each pass.
double layer_launches(const GpuFigures& gpu);

// The name of a type of the model's weights that the device is known to have no kernels for; empty: it has all.
std::string type_without_kernel(const GpuFigures& gpu, const Model& model);

}  // namespace hypura
