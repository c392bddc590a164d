// How fast one GPU copies and computes: from its profile, or assumed. What MachineSpeeds is for the processors.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/devices.h"
#include "hypura/profile.h"
#include "placement/gpu_speeds.h"

namespace hypura {

class GpuFigures {
 public:
  // `profile` is the device's own, or null where it was not measured. What it lacks a modest GPU of that kind is
  // assumed to do, but for `cut`, GpuProfile::cut_seconds as measured just now; 0: it was not.
  GpuFigures(const GpuProfile* profile, const GpuDeviceInfo& device, double cut = 0);

  // " by assumed speeds of CUDA0 (`hypura profile` measures it)", to end a prediction with; empty when copies, products
  // and small operations were measured.
  const std::string& assumption() const { return assumption_; }

  // Whether upload() and download() are measured.
  bool has_copies() const { return has_copies_; }

  // Whether it is known to have no kernel for a matrix, or matrices of experts, of that ggml type.
  bool lacks(int type, bool experts) const;

  // A product for one token with a matrix of `bytes` and `elements`, and for each further one of a pass of `tokens`.
  PassSeconds matrix(int type, double bytes, double elements, uint32_t tokens) const;

  // A product with matrices of experts, as such: of which size, and for how many tokens, counts besides.
  double experts_least(int type) const;
  // One expert's matrix for the first row, and for each of `rows` in a large pass. The larger time of the two counts.
  double expert_bytes(int type, double bytes) const;
  double expert_row(int type, double elements, double rows) const;

  // Seconds of a copy of `bytes`, one of many.
  double upload(double bytes) const;
  double download(double bytes) const;

  double cut() const;                       // as GpuSpeeds::sync_seconds
  double operation() const;                 // a small operation
  double attention(double elements) const;  // as MachineSpeeds::attention()

 private:
  const GpuKernelSpeed* kernel(int type) const;
  const GpuProductSpeed& product(int type, bool experts) const;

  GpuProfile assumed_;
  GpuProfile figures_;  // measured where they could be, else assumed; kernels are the measured ones
  bool has_copies_ = false;
  std::string assumption_;
};

}  // namespace hypura
