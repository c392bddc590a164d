#include "machine/profile_json.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/fail.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;

// The library's own conversions wrap negative numbers and cut large ones, so numbers are looked at before. These throw;
// profile_from_json catches.
uint64_t whole(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number_unsigned()) {
    throw std::invalid_argument(std::string(key) + " is not a whole number");
  }
  return value.get<uint64_t>();
}

uint32_t small(const Json& json, const char* key) {
  const uint64_t value = whole(json, key);
  if (value > UINT32_MAX) {
    throw std::invalid_argument(std::string(key) + " is too large");
  }
  return static_cast<uint32_t>(value);
}

double checked_rate(const Json& value, const char* key) {
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0) {
    throw std::invalid_argument(std::string(key) + " is not a number of 0 or more");
  }
  return value.get<double>();
}

double rate(const Json& json, const char* key) {
  return checked_rate(json.at(key), key);
}

// Rates are multiplied by it, so it is more than 0.
double share(const Json& json, const char* key) {
  const double value = rate(json, key);
  if (value <= 0 || value > 1) {
    throw std::invalid_argument(std::string(key) + " is not more than 0 and at most 1");
  }
  return value;
}

std::string text(const Json& json, const char* key) {
  return json.at(key).get<std::string>();
}

Json point_to_json(const StoragePoint& point) {
  return {{"block_bytes", point.block_bytes},
          {"depth", point.depth},
          {"scattered", point.scattered},
          {"bytes_per_second", point.bytes_per_second}};
}

StoragePoint point_from_json(const Json& json) {
  return {whole(json, "block_bytes"), small(json, "depth"), json.at("scattered").get<bool>(),
          rate(json, "bytes_per_second")};
}

Json storage_to_json(const StorageProfile& storage) {
  Json json = {{"path", storage.path},
               {"file_system", storage.file_system},
               {"method", storage.method},
               {"sequential_bytes_per_second", storage.sequential_bytes_per_second},
               {"scattered_bytes_per_second", storage.scattered_bytes_per_second},
               {"sustained_bytes_per_second", storage.sustained_bytes_per_second},
               {"read_seconds", storage.read_seconds},
               {"computing_kept", storage.computing_kept},
               {"reading_kept", storage.reading_kept},
               {"lasting_share", storage.lasting_share},
               {"knee", point_to_json(storage.knee)}};
  json["points"] = Json::array();
  for (const StoragePoint& point : storage.points) {
    json["points"].push_back(point_to_json(point));
  }
  return json;
}

StorageProfile storage_from_json(const Json& json) {
  StorageProfile storage;
  storage.path = text(json, "path");
  storage.file_system = text(json, "file_system");
  storage.method = text(json, "method");
  storage.sequential_bytes_per_second = rate(json, "sequential_bytes_per_second");
  storage.scattered_bytes_per_second = rate(json, "scattered_bytes_per_second");
  storage.sustained_bytes_per_second = rate(json, "sustained_bytes_per_second");
  storage.read_seconds = rate(json, "read_seconds");
  storage.computing_kept = rate(json, "computing_kept");
  storage.reading_kept = rate(json, "reading_kept");
  storage.lasting_share = share(json, "lasting_share");
  storage.knee = point_from_json(json.at("knee"));
  for (const Json& point : json.at("points")) {
    storage.points.push_back(point_from_json(point));
  }
  return storage;
}

Json product_to_json(const GpuProductSpeed& speed) {
  return {{"seconds", speed.seconds},
          {"matvec_bytes_per_second", speed.matvec_bytes_per_second},
          {"matmul_flops", speed.matmul_flops},
          {"large_matmul_flops", speed.large_matmul_flops}};
}

GpuProductSpeed product_from_json(const Json& json) {
  return {rate(json, "seconds"), rate(json, "matvec_bytes_per_second"), rate(json, "matmul_flops"),
          rate(json, "large_matmul_flops")};
}

Json gpu_to_json(const GpuProfile& gpu) {
  Json json = {{"name", gpu.name},
               {"description", gpu.description},
               {"pinned", gpu.pinned},
               {"registers_memory", gpu.registers_memory},
               {"unpinned_upload_bytes_per_second", gpu.unpinned_upload_bytes_per_second},
               {"cut_seconds", gpu.cut_seconds},
               {"operation_seconds", gpu.operation_seconds},
               {"attention_per_second", gpu.attention_per_second},
               {"copies", Json::array()},
               {"kernels", Json::array()},
               {"measured_at", gpu.measured_at}};
  for (const CopyPoint& copy : gpu.copies) {
    json["copies"].push_back({{"bytes", copy.bytes},
                              {"upload_bytes_per_second", copy.upload_bytes_per_second},
                              {"download_bytes_per_second", copy.download_bytes_per_second}});
  }
  for (const GpuKernelSpeed& kernel : gpu.kernels) {
    json["kernels"].push_back({{"type", kernel.type},
                               {"matrix", product_to_json(kernel.matrix)},
                               {"experts", product_to_json(kernel.experts)}});
  }
  return json;
}

GpuProfile gpu_from_json(const Json& json) {
  GpuProfile gpu;
  gpu.name = text(json, "name");
  gpu.description = text(json, "description");
  gpu.pinned = json.at("pinned").get<bool>();
  gpu.registers_memory = json.at("registers_memory").get<bool>();
  gpu.unpinned_upload_bytes_per_second = rate(json, "unpinned_upload_bytes_per_second");
  gpu.cut_seconds = rate(json, "cut_seconds");
  gpu.operation_seconds = rate(json, "operation_seconds");
  gpu.attention_per_second = rate(json, "attention_per_second");
  for (const Json& copy : json.at("copies")) {
    gpu.copies.push_back(
        {whole(copy, "bytes"), rate(copy, "upload_bytes_per_second"), rate(copy, "download_bytes_per_second")});
  }
  for (const Json& kernel : json.at("kernels")) {
    gpu.kernels.push_back(
        {text(kernel, "type"), product_from_json(kernel.at("matrix")), product_from_json(kernel.at("experts"))});
  }
  gpu.measured_at = text(json, "measured_at");
  return gpu;
}

MachineProfile read_profile(const Json& json) {
  MachineProfile profile;
  profile.measured_at = text(json, "measured_at");
  profile.cpu_model = text(json, "cpu_model");
  profile.cores = small(json, "cores");
  profile.threads = small(json, "threads");
  profile.simd = json.at("simd").get<std::vector<std::string>>();
  for (const Json& cache : json.at("caches")) {
    profile.caches.emplace_back(text(cache, "name"), whole(cache, "bytes"));
  }
  profile.memory_total = whole(json, "memory_total");
  profile.memory_available = whole(json, "memory_available");
  profile.memory_allowed = whole(json, "memory_allowed");
  if (!json.at("cgroup_limit").is_null()) {
    profile.cgroup_limit = whole(json, "cgroup_limit");
  }
  profile.huge_pages = text(json, "huge_pages");
  for (const Json& value : json.at("ram_bytes_per_second")) {
    profile.ram_bytes_per_second.push_back(checked_rate(value, "ram_bytes_per_second"));
  }
  profile.processor_share = rate(json, "processor_share");
  profile.contradicted_by = rate(json, "contradicted_by");
  profile.lasting_share = share(json, "lasting_share");
  profile.first_measured_at = text(json, "first_measured_at");
  profile.operation_seconds = rate(json, "operation_seconds");
  profile.attention_per_second = rate(json, "attention_per_second");
  profile.prompt_attention_per_second = rate(json, "prompt_attention_per_second");
  for (const Json& kernel : json.at("kernels")) {
    profile.kernels.push_back({text(kernel, "type"), rate(kernel, "matvec_bytes_per_second"),
                               rate(kernel, "matmul_flops"), rate(kernel, "repacked_matvec_bytes_per_second"),
                               rate(kernel, "repacked_matmul_flops"), rate(kernel, "resident_matvec_bytes_per_second"),
                               rate(kernel, "resident_matmul_flops"), rate(kernel, "repack_bytes_per_second"),
                               rate(kernel, "expert_matmul_flops"), rate(kernel, "repacked_expert_matmul_flops")});
  }
  if (json.contains("gpus")) {  // a profile from before there were any stays valid
    for (const Json& gpu : json.at("gpus")) {
      profile.gpus.push_back(gpu_from_json(gpu));
    }
  }
  profile.storage = storage_from_json(json.at("storage"));
  return profile;
}

}  // namespace

const KernelSpeed* MachineProfile::kernel(std::string_view type) const {
  for (const KernelSpeed& kernel : kernels) {
    if (kernel.type == type) {
      return &kernel;
    }
  }
  return nullptr;
}

const GpuKernelSpeed* GpuProfile::kernel(std::string_view type) const {
  for (const GpuKernelSpeed& kernel : kernels) {
    if (kernel.type == type) {
      return &kernel;
    }
  }
  return nullptr;
}

const GpuProfile* MachineProfile::gpu(std::string_view name, std::string_view description) const {
  for (const GpuProfile& gpu : gpus) {
    if (gpu.name == name && gpu.description == description) {
      return &gpu;
    }
  }
  return nullptr;
}

Json profile_to_json(const MachineProfile& profile) {
  Json json = {{"measured_at", profile.measured_at},
               {"cpu_model", profile.cpu_model},
               {"cores", profile.cores},
               {"threads", profile.threads},
               {"simd", profile.simd},
               {"caches", Json::array()},
               {"memory_total", profile.memory_total},
               {"memory_available", profile.memory_available},
               {"memory_allowed", profile.memory_allowed},
               {"cgroup_limit", profile.cgroup_limit ? Json(*profile.cgroup_limit) : Json(nullptr)},
               {"huge_pages", profile.huge_pages},
               {"ram_bytes_per_second", profile.ram_bytes_per_second},
               {"processor_share", profile.processor_share},
               {"contradicted_by", profile.contradicted_by},
               {"lasting_share", profile.lasting_share},
               {"first_measured_at", profile.first_measured_at},
               {"operation_seconds", profile.operation_seconds},
               {"attention_per_second", profile.attention_per_second},
               {"prompt_attention_per_second", profile.prompt_attention_per_second},
               {"kernels", Json::array()},
               {"gpus", Json::array()},
               {"storage", storage_to_json(profile.storage)}};
  for (const GpuProfile& gpu : profile.gpus) {
    json["gpus"].push_back(gpu_to_json(gpu));
  }
  for (const auto& [name, bytes] : profile.caches) {
    json["caches"].push_back({{"name", name}, {"bytes", bytes}});
  }
  for (const KernelSpeed& kernel : profile.kernels) {
    json["kernels"].push_back({{"type", kernel.type},
                               {"matvec_bytes_per_second", kernel.matvec_bytes_per_second},
                               {"matmul_flops", kernel.matmul_flops},
                               {"repacked_matvec_bytes_per_second", kernel.repacked_matvec_bytes_per_second},
                               {"repacked_matmul_flops", kernel.repacked_matmul_flops},
                               {"resident_matvec_bytes_per_second", kernel.resident_matvec_bytes_per_second},
                               {"resident_matmul_flops", kernel.resident_matmul_flops},
                               {"repack_bytes_per_second", kernel.repack_bytes_per_second},
                               {"expert_matmul_flops", kernel.expert_matmul_flops},
                               {"repacked_expert_matmul_flops", kernel.repacked_expert_matmul_flops}});
  }
  return json;
}

Result<MachineProfile> profile_from_json(const Json& json) {
  try {
    return read_profile(json);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kIo, "not a profile: {}", error.what());
  }
}

}  // namespace hypura
