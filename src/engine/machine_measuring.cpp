#include "engine/machine_measuring.h"

#include <algorithm>
#include <ctime>

#include "backend/compute_speed.h"
#include "backend/devices.h"
#include "engine/llama_runtime.h"
#include "hardware/cpu.h"
#include "hardware/file_system.h"
#include "hardware/memory.h"
#include "hardware/ram_bandwidth.h"
#include "hardware/scratch_file.h"
#include "hardware/storage_speed.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLeastFile = 64 * kMiB;  // a smaller model file says little about its disk
constexpr double kRamSeconds = 0.2;         // for each number of threads,
constexpr double kMostRamSeconds = 1.6;     // and for all of them together, but
constexpr double kLeastRamSeconds = 0.025;  // for each

// A part of the whole's progress, under one name.
std::function<void(double)> part(const ProfileProgress& progress, double begin, double end, std::string_view what) {
  if (!progress) {
    return {};
  }
  progress(begin, what);
  return [=](double share) { progress(begin + (end - begin) * std::clamp(share, 0.0, 1.0), what); };
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// Well above the caches, but no more than a quarter of what this process may take.
uint64_t measuring_bytes(uint64_t allowed) {
  const uint64_t cache = read_cpu().largest_cache();
  return std::min(std::clamp(8 * cache, 256 * kMiB, 512 * kMiB), std::max(kMiB, allowed / 4));
}

// The file itself when it is one that can be measured, else none.
Result<ReadableFile> open_itself(const ProfileSubject& subject) {
  std::error_code error;
  const uint64_t bytes = subject.is_file() ? fs::file_size(subject.path, error) : 0;
  if (error || bytes < kLeastFile || has_holes(subject.path)) {
    return ReadableFile{};
  }
  auto reader = Reader::open({subject.path}, {});
  if (!reader) {
    return propagate(reader.error());
  }
  return ReadableFile{std::move(*reader), bytes};
}

Result<StorageProfile> measure_disk(const ProfileSubject& subject, const ProfileProgress& progress) {
  auto file = open_itself(subject);
  if (!file) {
    return propagate(file.error());
  }
  const bool itself = file->reader != nullptr;
  if (!itself) {
    file = make_scratch_file(subject.folder, {}, part(progress, 0, 0.2, "writing to the disk"));
    if (!file) {
      return propagate(file.error());
    }
  }
  if (const std::string notice = file->reader->notice(); !notice.empty()) {
    spdlog::warn("{}; the speeds measured are partly the page cache's", notice);
  }
  StorageTest test;
  test.progress = part(progress, itself ? 0 : 0.2, 0.6, "reading from the disk");
  auto storage = measure_storage(std::move(*file), test);
  if (storage) {
    storage->path = (itself ? subject.path : subject.folder).string();
  }
  return storage;
}

Status measure_memory(MachineProfile& profile, const ProfileProgress& progress) {
  RamTest test;
  test.threads = std::max(profile.cores, profile.threads);
  test.bytes = measuring_bytes(profile.memory_allowed);
  test.seconds = std::clamp(kMostRamSeconds / test.threads, kLeastRamSeconds, kRamSeconds);
  test.progress = part(progress, 0.6, 0.68, "memory");
  auto rates = measure_ram(test);
  if (!rates) {
    return propagate(rates.error());
  }
  profile.ram_bytes_per_second = std::move(*rates);
  return {};
}

Status add_compute_speed(MachineProfile& profile, std::span<const std::string> types,
                         std::function<void(double)> progress) {
  if (Status status = init_llama(); !status) {
    return status;
  }
  const ThreadpoolPtr pool = make_threadpool(profile.threads);
  ComputeTest test;
  test.threads = profile.threads;
  test.pool = pool.get();
  test.weight_bytes = measuring_bytes(profile.memory_allowed);
  test.progress = std::move(progress);
  const auto speed = measure_compute(types, test);
  if (!speed) {
    return propagate(speed.error());
  }
  profile.operation_seconds = speed->operation_seconds;
  profile.kernels.insert(profile.kernels.end(), speed->kernels.begin(), speed->kernels.end());
  return {};
}

}  // namespace

Result<MachineProfile> measure_machine(const ProfileSubject& subject, const ProfileProgress& progress) {
  CpuInfo cpu = read_cpu();
  MachineProfile profile;
  profile.cpu_model = std::move(cpu.model);
  profile.simd = std::move(cpu.simd);
  profile.caches = std::move(cpu.caches);
  profile.cores = usable_cores();
  profile.threads = subject.threads;
  profile.huge_pages = read_huge_pages();
  if (Status status = refresh_memory(profile); !status) {
    return propagate(status.error());
  }
  // The disk first: threads of ggml's that still spin would disturb it.
  if (auto storage = measure_disk(subject, progress)) {
    profile.storage = std::move(*storage);
  } else {
    spdlog::warn("the disk was not measured: {}", storage.error().message);
    profile.storage.path = subject.path.string();
  }
  profile.storage.file_system = subject.file_system;
  if (Status status = measure_memory(profile, progress); !status) {
    return propagate(status.error());
  }
  std::vector<std::string> types = usual_types();
  for (std::string& type : weight_types(subject.path)) {
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      types.push_back(std::move(type));
    }
  }
  if (Status status = add_compute_speed(profile, types, part(progress, 0.68, 0.98, "computing")); !status) {
    return propagate(status.error());
  }
  profile.devices = list_devices();
  profile.measured_at = now();
  if (progress) {
    progress(1, "done");
  }
  return profile;
}

Status measure_types(MachineProfile& profile, std::span<const std::string> types, const ProfileProgress& progress) {
  return add_compute_speed(profile, types, part(progress, 0, 1, "computing"));
}

}  // namespace hypura
