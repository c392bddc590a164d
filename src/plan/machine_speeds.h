// How fast this machine computes and reads, in the terms of the placement: from its profile, or assumed. Where the
// profile tells what lasts of the best speeds, all here but disk_at_best() is what lasts.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/profile.h"
#include "placement/problem.h"

namespace hypura {

class MachineSpeeds {
 public:
  // `profile` may be null, or lack parts: what it does not tell is assumed. It must outlive the object. `threads` are
  // those that will compute; the profile's figures are scaled to them when it was measured with others.
  MachineSpeeds(const MachineProfile* profile, uint32_t threads);

  // " by assumed speeds": what is assumed, to end a prediction with; empty when everything was measured.
  const std::string& assumption() const { return assumption_; }

  // Multiplying by a matrix of `bytes` and `elements`, of ggml type `type`.
  PassSeconds matrix(int type, double bytes, double elements) const;

  // An expert's matrix: as matrix(), but rows beyond the first as the profile measured ggml's products by a choice of
  // experts. These go row by row, from the cache after the first, whatever kernels there are for many columns.
  PassSeconds expert_matrix(int type, double bytes, double elements) const;

  // The same read repacked: rows beyond the first by the kernels for a single matrix.
  PassSeconds repacked_expert(int type, double bytes, double elements) const;

  // As on disk, repacked for each pass (backend/repack_buffer.h): a dense matrix, and an expert's as one matrix.
  PassSeconds repacked_matrix(int type, double bytes, double elements) const;
  PassSeconds repacked_alone(int type, double bytes, double elements) const;

  // How much longer a matrix of `type` takes as it is on disk than in llama.cpp's repacked form: for one token and for
  // a prompt. 1 and 1 where it is not repacked. A dense matrix as this machine's profile says, if it does; an expert's,
  // which is smaller and has fewer columns, as measured in models on one machine, but no more than the profile says of
  // the kernels.
  struct Repacked {
    double token = 1;
    double prompt = 1;
  };
  Repacked repacked_dense(int type) const;
  Repacked repacked_expert(int type) const;
  // The same of a dense matrix of a resident model, which llama.cpp may lay out in another way (AMX's tiles).
  Repacked resident_dense(int type) const;

  // Whether this machine's profile, where it is to be trusted, says that a prompt gains less than kLeastGain by
  // matrices of `type` being repacked: then making the layout anew for each pass takes more than it gives. What was not
  // measured is no such type.
  static constexpr double kLeastGain = 1.25;
  bool gains_nothing_repacked(int type) const;

  // Reading and computing at once. Where that was not measured reading is slowed by an eighth.
  Contention contention() const;

  // That issuing one of the reader's reads takes of the computing thread.
  double read_seconds() const;

  // Attention of one new token, and of each of a prompt's: query heads x their width x tokens attended to.
  double attention(double elements) const;
  double prompt_attention(double elements) const;

  // One small operation: a norm, an addition.
  double operation() const { return operation_; }

  // Reading pieces of `block` bytes, cut as the reader cuts them, at most `depth` of them at a time: no faster than the
  // disk is known to sustain, and as in the seconds of its profile.
  DiskSpeed disk(uint64_t block, uint32_t depth) const;
  DiskSpeed disk_at_best(uint64_t block, uint32_t depth) const;

  // Of the ranges of rows that large dense matrices move in. Two of them are the least that a ring has: while one is
  // computed the other is read, which must be enough for the disk's full speed, and enough computing for what a product
  // takes whatever its size.
  uint64_t range_bytes() const;

  // Reading what stays, one large tensor beside the other.
  double load_bytes_per_second() const;

  // Of the processors' best speed, the share that the speeds here are.
  double computing_lasts() const;

 private:
  double reading_lasts() const;
  const KernelSpeed* kernel_of(const char* type) const;  // nullptr where it was not measured
  double kernel_bytes_per_second(const char* type) const;
  double kernel_flops(const char* type) const;
  // Of an expert's matrix with all tokens that chose it, repacked.
  double alone_flops(const char* type) const;
  // Repacking, then rows at so many operations a second.
  PassSeconds repacked_first(int type, double bytes, double elements, double flops) const;

  const MachineProfile* profile_;
  double scale_ = 1;  // of computing, from the profile's threads to ours
  double operation_ = 0;
  uint32_t threads_;
  std::string assumption_;
};

}  // namespace hypura
