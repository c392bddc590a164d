// What `hypura devices` shows, for people and for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hypura/devices.h"
#include "machine/gpu_drivers.h"

namespace hypura {

struct DevicesReport {
  std::string processor;
  uint32_t cores = 0;  // usable ones
  uint64_t memory_total = 0;
  uint64_t memory_allowed = 0;  // to this process
  std::vector<GpuDeviceInfo> devices;
  std::vector<GpuBackendInfo> backends;
  GpuDrivers drivers;
};

// A table, then a paragraph for each backend that has no device; ends with a line break.
std::string devices_text(const DevicesReport& report);

// Sizes in bytes.
nlohmann::ordered_json devices_to_json(const DevicesReport& report);

}  // namespace hypura
