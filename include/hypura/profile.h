// The measured speeds of this machine: memory, storage, processors. Plans are made from them.
//
// Rates are in bytes (or operations) per second, sizes in bytes, times in seconds. 0 stands for "not measured".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// One measurement of the engine's reader, with `depth` requests of `block_bytes` in flight. The reader cuts a request
// into chunks of 1 MiB and issues at most 64 at once (storage/reader.h), so at most 64 MiB are in flight.
struct StoragePoint {
  uint64_t block_bytes = 0;
  uint32_t depth = 0;
  bool scattered = false;  // false: one request after another, in the file's order
  double bytes_per_second = 0;
};

// The storage under a folder or model file. No points when it could not be measured.
struct StorageProfile {
  std::string path;         // folder or file that was measured
  std::string file_system;  // identity of the file system (device id), key of the cache
  std::string method;       // "io_uring, direct", as Reader::description()
  std::vector<StoragePoint> points;
  StoragePoint knee;                       // smallest block and depth that reach 95 % of the best scattered rate
  double sequential_bytes_per_second = 0;  // best
  double scattered_bytes_per_second = 0;   // best
  // What it sustained for tens of seconds in the latest run of a model that waited for the disk only. Cloud disks and
  // disks with a cache start faster than they continue, and a profile sees only the start.
  double sustained_bytes_per_second = 0;
  double read_seconds = 0;  // CPU time to issue one read of at most 1 MiB
  // Computing and reading at once slow each other down: processors that serve the disk's reads do not compute, and both
  // use RAM bandwidth. The share of its own speed that computing keeps while the disk is read at full speed, and the
  // share that reading keeps. 0: not measured.
  double computing_kept = 0;
  double reading_kept = 0;
  double lasting_share = 1;  // as MachineProfile::lasting_share, of reading
};

// One ggml type at MachineProfile::threads threads: weights in the file's layout, repacked, and as llama.cpp lays out
// dense matrices that stay in memory where that is neither (AMX's tiles). 0 where there is no such layout on this
// processor. All in the file's bytes.
struct KernelSpeed {
  std::string type;                    // "q4_0", as ggml_type_name()
  double matvec_bytes_per_second = 0;  // weight bytes, one column (decode), weights in RAM and not in a cache
  double matmul_flops = 0;             // 2*m*n*k per second at 512 columns (prefill)
  double repacked_matvec_bytes_per_second = 0;
  double repacked_matmul_flops = 0;
  double resident_matvec_bytes_per_second = 0;
  double resident_matmul_flops = 0;
  double repack_bytes_per_second = 0;  // making that layout of one matrix after another, all threads together
  // As matmul_flops, of the 32 tokens that chose an expert in a prompt: ggml's product by a choice of experts, and the
  // repacked matrix as one of its own.
  double expert_matmul_flops = 0;
  double repacked_expert_matmul_flops = 0;
};

// Copies of `bytes` each between the host's memory and a GPU's, many one after another, and then waited for.
struct CopyPoint {
  uint64_t bytes = 0;
  double upload_bytes_per_second = 0;  // to the GPU
  double download_bytes_per_second = 0;
};

// Products of a GPU with weights in its own memory, each with what the last one gave. All 0 where it has no kernel.
struct GpuProductSpeed {
  double seconds = 0;                  // of a small matrix and one token: what a product takes whatever its size
  double matvec_bytes_per_second = 0;  // weight bytes, one token, in the time beyond that
  double matmul_flops = 0;             // operations (2*m*n*k) a second in the time beyond, 512 tokens
  double large_matmul_flops = 0;       // 2048 tokens
};

struct GpuKernelSpeed {
  std::string type;         // "q4_0", as ggml_type_name()
  GpuProductSpeed matrix;   // one matrix
  GpuProductSpeed experts;  // matrices of 64 experts, of which a token uses 8
};

// What computing on a GPU and bringing weights there costs.
struct GpuProfile {
  std::string name;  // as GpuDeviceInfo has them (devices.h)
  std::string description;
  bool pinned = false;  // copies are from and to pinned memory, which the device has
  // It copies as fast from memory of ours, once that is registered with it. Some backends do so only where the
  // environment says so.
  bool registers_memory = false;
  std::vector<CopyPoint> copies;  // smallest first
  double unpinned_upload_bytes_per_second = 0;
  double cut_seconds = 0;           // what a graph costs besides for a cut: 32 bytes fetched, the device waited for, 32
                                    // bytes sent, the rest started
  double operation_seconds = 0;     // one small graph node, in a graph that was computed before
  double attention_per_second = 0;  // as MachineProfile's, 4096 tokens attended to; 0: no kernel, or not measured
  std::vector<GpuKernelSpeed> kernels;
  std::string measured_at;  // ISO 8601, UTC

  // nullptr when the type was not measured.
  const GpuKernelSpeed* kernel(std::string_view type) const;
};

struct MachineProfile {
  std::string cpu_model;
  uint32_t cores = 0;    // usable physical ones
  uint32_t threads = 0;  // used for kernels
  std::vector<std::string> simd;
  std::vector<std::pair<std::string, uint64_t>> caches;  // ("L2", bytes of one of them), smallest level first

  uint64_t memory_total = 0;             // these four are read again for every profile returned
  uint64_t memory_available = 0;         // without swapping
  uint64_t memory_allowed = 0;           // to this process: what is available and its cgroups leave
  std::optional<uint64_t> cgroup_limit;  // none: no cgroup limits memory
  std::string huge_pages;                // for people

  // The share of the processors that computing had while it was measured. Below kDisturbedShare other programs had the
  // rest, and the speeds are too low.
  double processor_share = 0;
  // How long the tokens of the latest run took that this profile's speeds cannot explain, by what they should have; 0:
  // there was none.
  double contradicted_by = 0;
  static constexpr double kDisturbedShare = 0.9;
  static constexpr double kContradiction = 2;  // or one by that

  bool disturbed() const { return processor_share > 0 && processor_share < kDisturbedShare; }
  // Whether the machine had better be measured again; machine_profile() then does.
  bool doubtful() const { return disturbed() || contradicted_by > 0; }

  // Of a machine that was measured twice, minutes apart, the rates here are the better ones. This is the share of them
  // that computing had in the worse of the two measurements; 1 where they differ by noise alone, and of a machine that
  // was measured once. Plans count on what lasts; what no machine can exceed is by the better rates.
  double lasting_share = 1;
  std::string first_measured_at;  // as measured_at; empty: it was measured once

  std::vector<double> ram_bytes_per_second;  // [n-1]: n threads reading
  double operation_seconds = 0;              // cost of one small graph node at `threads`, barriers included
  double attention_per_second = 0;           // query heads x their width x tokens attended to, for one new token, f16
  double prompt_attention_per_second = 0;    // the same for each of a prompt's 512 tokens, which attend to those before
  std::vector<KernelSpeed> kernels;
  std::vector<GpuProfile> gpus;  // that were measured
  StorageProfile storage;
  std::string measured_at;  // ISO 8601, UTC

  // nullptr when the type was not measured.
  const KernelSpeed* kernel(std::string_view type) const;

  // nullptr when a device of that name and description was not measured: another one may have got the name.
  const GpuProfile* gpu(std::string_view name, std::string_view description) const;
};

struct ProfileOptions {
  std::filesystem::path path;  // file or folder whose disk counts; empty: the current folder
  bool force = false;          // measure, whatever is cached
  bool again = false;          // measure once more, and keep what is better and what lasts; without a profile that can
                               // be trusted this is a first time
  uint32_t threads = 0;        // for kernels; 0: one for each usable core
  std::string gpu = "auto";    // GPUs to measure: "auto": those that are used where none is named (devices.h); "none";
                               // names, separated by commas, "CPU" among them
  // Called while measuring, on the calling thread, with progress from 0 to 1 and what is being measured.
  std::function<void(double, std::string_view)> progress;
};

// The cached profile, or a new one where there is none or it is doubtful, which takes about eight seconds on an
// otherwise idle machine, and three more for each GPU. Storage is measured on `path` when that is a file of some size
// without holes (it is only read); else on an unnamed scratch file of at most 1 GiB in its folder. What a cached
// profile lacks is measured and added: tensor types of a GGUF file, GPUs. `gpus` of the result are those that are there
// now.
//
// Cached under $XDG_CACHE_HOME/hypura, ~/.cache/hypura or (macOS) ~/Library/Caches/hypura: a file for each machine,
// file system and number of threads, valid until hardware, kernel or version change. The log reports a
// damaged cache, one that cannot be written, and a folder that cannot hold the scratch file. In the last case `storage`
// has no points, and the profile is not cached.
//
// Fails with kIo when `path` cannot be read, kUsage when it is neither file nor folder or a GPU is named that there is
// not, kInternal or kBudget when the machine, or a GPU that was named, cannot be measured. One that was not named is
// then told in the log and left out. Any thread, one at a time.
Result<MachineProfile> machine_profile(const ProfileOptions& options);

// The cached profile, if it is valid for this machine and disk. Measures and logs nothing; ignores `force`, `gpu` and
// `progress`. `gpus` may have some that are not there now. Any thread.
std::optional<MachineProfile> cached_profile(const ProfileOptions& options);

}  // namespace hypura
