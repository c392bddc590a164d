// Why a way to GPUs finds none, and what to do about it.
#pragma once

#include "backend/gpu/devices/gpu_backends.h"
#include "hypura/devices.h"
#include "machine/gpu_drivers.h"

namespace hypura {

// The oldest driver of NVIDIA's that CUDA 13, which llama.cpp's prebuilt library is made with, works with: "CUDA 13.x:
// >= 580", in the table of minor version compatibility of the CUDA Toolkit's release notes.
inline constexpr int kOldestNvidiaDriver = 580;

// The oldest driver that compiles the PTX of that library, which CUDA 13.1 has made: CUDA 13.1 came with it. GPUs of
// compute capability 8.6, 8.9, 12.0 and 12.1 have machine code there and need none.
inline constexpr int kOldestPtxDriver = 590;

// What is known of a backend, in words. Pure.
GpuBackendInfo explain_backend(const LoadedGpuBackend& backend, const GpuDrivers& drivers);

// Puts in why one of the devices cannot compute, and what to do about it. Pure.
void explain_unusable(const UnusableGpu& unusable, GpuDeviceInfo& device);

}  // namespace hypura
