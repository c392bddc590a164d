// Whether the code of ggml's CUDA library runs on a GPU: at the first kernel that does not, ggml ends the process.
//
// The library holds machine code for some kinds of GPUs, and PTX, which the driver compiles, for the others. A driver
// compiles no PTX that was made with a newer CUDA than its own, also where it runs that CUDA's machine code (NVIDIA's
// CUDA Compatibility guide, "Minor Version Compatibility"; seen: docs/lab/experiments.md). Only the driver knows what
// it takes, so that a part of the library is given to it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hypura {

// NVIDIA's driver, as far as that needs it.
class CudaDriver {
 public:
  virtual ~CudaDriver() = default;

  // GPUs, numbered from 0 in the order of ggml's.
  virtual int devices() const = 0;
  // The newest CUDA that it knows: "13.0".
  virtual std::string version() const = 0;
  // The GPU's compute capability: "9.0".
  virtual std::string capability(int device) const = 0;
  // What it says to a module of this code: a CUresult, 0 where it takes it. The module is unloaded again.
  virtual int load(int device, std::span<const std::byte> code) const = 0;
  // "CUDA_ERROR_INVALID_IMAGE"
  virtual std::string error_name(int error) const = 0;
};

// The system's, once the library that needs it is open; nullptr: there is none, or it lacks what is needed.
std::unique_ptr<CudaDriver> cuda_driver();

// A GPU that the code does not run on.
struct UnusableGpu {
  std::string name;           // as ggml calls it: "CUDA0"
  std::string capability;     // "9.0"
  std::string driver_cuda;    // the newest CUDA that its driver knows
  bool newer_driver = false;  // a driver that knows a newer CUDA would compile the code
  std::string error;          // the driver's name for what is wrong
};

// The smallest part of the library's code that can be given to a driver (a "fat binary"); empty: it has none, or is no
// library for this system.
std::vector<std::byte> smallest_cuda_code(const std::filesystem::path& library);

// Those of the driver's GPUs that it does not take the code for. What it refuses for another reason, such as memory
// that is taken, is not among them.
std::vector<UnusableGpu> unusable_gpus(const CudaDriver& driver, std::span<const std::byte> code);

}  // namespace hypura
