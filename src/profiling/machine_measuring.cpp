#include "profiling/machine_measuring.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>

#include "backend/speed/compute_speed.h"
#include "backend/speed/product_loop.h"
#include "llama/llama_runtime.h"
#include "machine/cpu.h"
#include "machine/file_system.h"
#include "machine/memory.h"
#include "machine/speed/ram_bandwidth.h"
#include "machine/speed/scratch_file.h"
#include "machine/speed/storage_speed.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLeastFile = 64 * kMiB;  // a smaller model file says little about its disk
constexpr double kMostRamSeconds = 0.2;     // for each number of threads
constexpr double kLeastRamSeconds = 0.025;

// Well above the caches, but no more than a quarter of what this process may take.
uint64_t measuring_bytes(uint64_t allowed, const MeasuringEffort& effort) {
  const uint64_t wanted = std::max(8 * read_cpu().largest_cache(), 256 * kMiB);
  return std::min({wanted, effort.most_bytes, std::max(kMiB, allowed / 4)});
}

// The file itself when it is one that can be measured, else none.
Result<ReadableFile> open_itself(const ProfileTarget& target) {
  std::error_code error;
  const uint64_t bytes = target.is_file() ? fs::file_size(target.path, error) : 0;
  if (error || bytes < kLeastFile || has_holes(target.path)) {
    return ReadableFile{};
  }
  auto reader = Reader::open({target.path}, {});
  if (!reader) {
    return propagate(reader.error());
  }
  return ReadableFile{std::move(*reader), bytes};
}

struct Disk {
  StorageProfile profile;
  std::unique_ptr<StorageSpeed> speed;  // null: it was not measured
};

Result<Disk> measure_disk(const ProfileTarget& target, uint64_t memory, const ProfileProgress& progress,
                          const MeasuringEffort& effort) {
  auto file = open_itself(target);
  if (!file) {
    return propagate(file.error());
  }
  const bool itself = file->reader != nullptr;
  if (!itself) {
    file = make_scratch_file(target.folder, effort.scratch, part_of(progress, 0, 0.2, "writing to the disk"));
    if (!file) {
      return propagate(file.error());
    }
  }
  if (const std::string notice = file->reader->notice(); !notice.empty()) {
    logger().warn("{}; the measured speeds include the page cache", notice);
  }
  StorageTest test = effort.storage;
  test.progress = part_of(progress, itself ? 0 : 0.2, 0.6, "reading from the disk");
  auto speed = StorageSpeed::open(std::move(*file), memory);
  if (!speed) {
    return propagate(speed.error());
  }
  auto storage = (*speed)->measure(test);
  if (!storage) {
    return propagate(storage.error());
  }
  storage->path = (itself ? target.path : target.folder).string();
  return Disk{std::move(*storage), std::move(*speed)};
}

Status measure_memory(MachineProfile& profile, const ProfileProgress& progress, const MeasuringEffort& effort) {
  RamTest test;
  test.threads = std::max(profile.cores, profile.threads);
  test.bytes = measuring_bytes(profile.memory_allowed, effort);
  test.seconds = std::clamp(effort.ram_seconds / test.threads, kLeastRamSeconds, kMostRamSeconds);
  test.progress = part_of(progress, 0.6, 0.68, "memory");
  auto rates = measure_ram(test);
  if (!rates) {
    return propagate(rates.error());
  }
  profile.ram_bytes_per_second = std::move(*rates);
  return {};
}

ComputeTest compute_test(const MachineProfile& profile, const MeasuringEffort& effort, ggml_threadpool* pool) {
  ComputeTest test;
  test.threads = profile.threads;
  test.pool = pool;
  test.matmul_size = effort.matmul_size;
  test.seconds = effort.kernel_seconds;
  test.weight_bytes = measuring_bytes(profile.memory_allowed, effort);
  return test;
}

// The rate of `speed`'s reads while `work` goes on.
Result<double> read_meanwhile(StorageSpeed& speed, const StoragePoint& point, const std::function<void()>& work) {
  std::atomic<bool> stop = false;
  Result<double> rate = 0.0;
  std::thread reading([&] { rate = speed.read_until(point, stop); });
  work();
  stop = true;
  reading.join();
  return rate;
}

// Reads like those of streamed matrices; the knee's where the file is too small for them.
StoragePoint as_streamed(const StorageProfile& storage) {
  const ReaderOptions reader;
  for (const StoragePoint& point : storage.points) {
    if (point.scattered && point.block_bytes == reader.chunk_bytes && point.depth == reader.prefetch_depth) {
      return point;
    }
  }
  return storage.knee;
}

// Each alone before and after both together, so that a machine that changes its speed meanwhile does not look like it.
Status measure_both_at_once(StorageSpeed& disk, MachineProfile& profile, const MeasuringEffort& effort) {
  const ThreadpoolPtr pool = make_threadpool(profile.threads);
  auto product = ProductLoop::create("q4_0", compute_test(profile, effort, pool.get()));
  if (!product) {
    return propagate(product.error());
  }
  const StoragePoint point = as_streamed(profile.storage);
  const auto compute = [&](Result<double>& rate) { rate = (*product)->rate(effort.both_seconds); };
  const auto rest = [&] { std::this_thread::sleep_for(std::chrono::duration<double>(effort.both_seconds)); };
  std::array<Result<double>, 3> computed;
  std::array<Result<double>, 3> read;
  compute(computed[0]);
  read[0] = read_meanwhile(disk, point, rest);
  read[1] = read_meanwhile(disk, point, [&] { compute(computed[1]); });
  compute(computed[2]);
  read[2] = read_meanwhile(disk, point, rest);
  for (const auto* rates : {&computed, &read}) {
    for (const Result<double>& rate : *rates) {
      if (!rate) {
        return propagate(rate.error());
      }
    }
  }
  const auto kept = [](const std::array<Result<double>, 3>& rates) {
    const double alone = (*rates[0] + *rates[2]) / 2;
    return alone > 0 ? std::clamp(*rates[1] / alone, 0.01, 1.0) : 1.0;
  };
  profile.storage.computing_kept = kept(computed);
  profile.storage.reading_kept = kept(read);
  return {};
}

Status add_compute_speed(MachineProfile& profile, std::span<const std::string> types,
                         std::function<void(double)> progress, const MeasuringEffort& effort) {
  if (Status status = init_llama(); !status) {
    return status;
  }
  const ThreadpoolPtr pool = make_threadpool(profile.threads);
  ComputeTest test = compute_test(profile, effort, pool.get());
  test.progress = std::move(progress);
  const auto speed = measure_compute(types, test);
  if (!speed) {
    return propagate(speed.error());
  }
  const double before = profile.processor_share > 0 ? profile.processor_share : 1;
  profile.processor_share = std::min(before, speed->processor_share);
  profile.operation_seconds = speed->operation_seconds;
  profile.attention_per_second = speed->attention_per_second;
  profile.prompt_attention_per_second = speed->prompt_attention_per_second;
  profile.kernels.insert(profile.kernels.end(), speed->kernels.begin(), speed->kernels.end());
  return {};
}

}  // namespace

std::function<void(double)> part_of(const ProfileProgress& progress, double begin, double end, std::string_view what) {
  if (!progress) {
    return {};
  }
  progress(begin, what);
  return [=](double share) { progress(begin + (end - begin) * std::clamp(share, 0.0, 1.0), what); };
}

std::string time_of_day() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::vector<std::string> measured_types(const ProfileTarget& target) {
  std::vector<std::string> types = usual_types();
  for (std::string& type : weight_types(target.path)) {
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      types.push_back(std::move(type));
    }
  }
  return types;
}

Result<MachineProfile> measure_machine(const ProfileTarget& target, const ProfileProgress& progress,
                                       const MeasuringEffort& effort) {
  CpuInfo cpu = read_cpu();
  MachineProfile profile;
  profile.cpu_model = std::move(cpu.model);
  profile.simd = std::move(cpu.simd);
  profile.caches = std::move(cpu.caches);
  profile.cores = usable_cores();
  profile.threads = target.threads;
  profile.huge_pages = read_huge_pages();
  if (Status status = refresh_memory(profile); !status) {
    return propagate(status.error());
  }
  // The disk first: threads of ggml's that still spin would disturb it.
  auto disk = measure_disk(target, measuring_bytes(profile.memory_allowed, effort), progress, effort);
  if (disk) {
    profile.storage = std::move(disk->profile);
  } else {
    logger().warn("the disk was not measured: {}", disk.error().message);
    profile.storage.path = target.path.string();
  }
  profile.storage.file_system = target.file_system;
  if (Status status = measure_memory(profile, progress, effort); !status) {
    return propagate(status.error());
  }
  const std::vector<std::string> types = measured_types(target);
  if (Status status = add_compute_speed(profile, types, part_of(progress, 0.68, 0.93, "computing"), effort); !status) {
    return propagate(status.error());
  }
  if (disk && profile.storage.knee.depth > 0) {
    if (progress) {
      progress(0.93, "both at once");
    }
    if (Status status = measure_both_at_once(*disk->speed, profile, effort); !status) {
      return propagate(status.error());
    }
  }
  profile.measured_at = time_of_day();
  if (progress) {
    progress(1, "done");
  }
  return profile;
}

Status measure_types(MachineProfile& profile, std::span<const std::string> types, const ProfileProgress& progress,
                     const MeasuringEffort& effort) {
  return add_compute_speed(profile, types, part_of(progress, 0, 1, "computing"), effort);
}

}  // namespace hypura
