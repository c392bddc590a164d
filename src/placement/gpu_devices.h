// Which of several GPUs has which layers of a model. Each has layers that follow each other, and hands what it computed
// on to the next; the last has the output too.
//
// By their memory alone the layers would be divided as that is. What is sought is the least time: so from there, for
// each device and the next, every division of what they have together is tried, until none is better. For two devices
// that is the best there is; for more there is no proof.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/problem.h"

namespace hypura {

// Gives each device so many of gpu.layers, in order; the counts, one for each device, add up to all. Sizes that were
// corrected by what llama.cpp allocates are estimates again.
void put_layers(GpuProblem& gpu, std::span<const uint32_t> counts);

// What put_layers() was given last.
std::vector<uint32_t> layers_of_devices(const GpuProblem& gpu);

// For put_layers(), with layers for the first `used` devices, at least one each: as their memory allows. `used` is at
// most the number of layers.
std::vector<uint32_t> layers_by_memory(const PlacementProblem& problem, uint32_t used);

// Gives the devices of problem.gpu the layers with which place_on_gpu() finds least time. All devices get some where
// they are required, else the first of them, as many as are best by their memory. Where nothing fits, those that lack
// least.
void divide_layers(PlacementProblem& problem);

}  // namespace hypura
