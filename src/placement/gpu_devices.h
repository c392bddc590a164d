// Which of several GPUs has which layers of a model. Each has layers that follow each other, and hands what it computed
// on to the next; the last has the output too.
//
// By their memory alone the layers would be divided as that is. What is sought is the least time: so from there, for
// each device and the next, some divisions of what they have together are tried with all KV caches and passes, and then
// all of them with what was best of these and about it, until none is better. That is no proof that no other division
// is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/problem.h"

namespace hypura {

// Leaves so many of the first of gpu.layers to the processors; the others are to be put anew.
void leave_layers(GpuProblem& gpu, uint32_t layers);

// Gives each device so many of gpu.layers, in order, behind those that are the processors'; the counts, one for each
// device, add up to all. Sizes that were corrected by what llama.cpp allocates are estimates again.
void put_layers(GpuProblem& gpu, std::span<const uint32_t> counts);

// What put_layers() was given last.
std::vector<uint32_t> layers_of_devices(const GpuProblem& gpu);

// For put_layers(), with layers for the first `used` devices, at least one each: as their memory allows. `used` is at
// most the number of layers that are not the processors'.
std::vector<uint32_t> layers_by_memory(const PlacementProblem& problem, uint32_t used);

// Leaves the KV cache and the passes of the placement only.
void keep_gpu_choices(GpuProblem& gpu, const Placement& placement);

// Gives the devices of problem.gpu the layers with which place_on_gpu() finds least time. All devices get some where
// they are required, else the first of them, as many as are best by their memory. Where nothing fits, the first layers
// are the processors', if they may be, and where nothing fits then either, that is done by which the devices lack
// least.
void divide_layers(PlacementProblem& problem);

}  // namespace hypura
