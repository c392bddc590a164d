#include "cli/devices/devices_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/gpu_choice.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

using Json = nlohmann::ordered_json;

// As plan/gpu_choice.h chooses: as many of these as make the model faster.
bool is_default(const DevicesReport& report, const GpuDeviceInfo& device) {
  const std::vector<GpuDeviceInfo> chosen = gpus_by_default(report.devices);
  return std::ranges::find(chosen, device.name, &GpuDeviceInfo::name) != chosen.end();
}

std::string use_of(const DevicesReport& report, const GpuDeviceInfo& device) {
  if (!device.same_as.empty()) {
    return "is " + device.same_as;
  }
  if (!device.problem.empty()) {
    return "no: see below";
  }
  if (is_default(report, device)) {
    return is_taken(device) ? "no: taken" : "by default";
  }
  return "if named";
}

std::string about(const GpuDeviceInfo& device) {
  std::string text = fmt::format("{} ({})", printable(device.description), device.backend);
  text += device.computes_in_ram ? ", computes in the machine's memory"
          : device.integrated    ? ", shares the machine's memory"
                                 : "";
  text += device.pinned_memory || device.integrated ? "" : ", reads no pinned memory: slow";
  return text;
}

// The last column is as wide as it likes.
using DeviceRow = std::array<std::string, 5>;

std::string aligned(const std::vector<DeviceRow>& rows) {
  std::array<size_t, 5> widths = {};
  for (const DeviceRow& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const DeviceRow& row : rows) {
    text += fmt::format("{:<{}}  {:>{}}  {:>{}}  {:<{}}  {}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2],
                        row[3], widths[3], row[4]);
  }
  return text;
}

std::string why_unused(const std::string& name, const std::string& problem, const std::string& advice) {
  std::string text = fmt::format("{} is not used: {}.\n", name, printable(problem));
  if (!advice.empty()) {
    text += fmt::format("  To use it: {}.\n", advice);
  }
  return text;
}

Json to_json(const DevicesReport& report, const GpuDeviceInfo& device) {
  return {{"name", device.name},
          {"description", device.description},
          {"backend", device.backend},
          {"bus", device.bus},
          {"memory_total", device.memory_total},
          {"memory_free", device.memory_free},
          {"integrated", device.integrated},
          {"computes_in_ram", device.computes_in_ram},
          {"pinned_memory", device.pinned_memory},
          {"async", device.async},
          {"events", device.events},
          {"same_as", device.same_as},
          {"problem", device.problem},
          {"advice", device.advice},
          {"used_by_default", is_default(report, device) && !is_taken(device)},
          {"taken", is_taken(device)}};
}

}  // namespace

std::string devices_text(const DevicesReport& report) {
  std::vector<DeviceRow> rows = {{"Device", "Memory", "Free", "Used", "What it is"}};
  rows.push_back(
      {"CPU", format_bytes(report.memory_total), format_bytes(report.memory_allowed), "always",
       fmt::format("{}, {} core{}", printable(report.processor), report.cores, report.cores == 1 ? "" : "s")});
  for (const GpuDeviceInfo& device : report.devices) {
    rows.push_back({device.name, format_bytes(device.memory_total), format_bytes(device.memory_free),
                    use_of(report, device), about(device)});
  }
  std::string text = aligned(rows);
  text += report.devices.empty() ? "\nNo GPU was found that models can be computed on.\n" : "";
  for (const GpuDeviceInfo& device : report.devices) {
    text += device.problem.empty() ? "" : "\n" + why_unused(device.name, device.problem, device.advice);
    text +=
        is_default(report, device) && is_taken(device)
            ? fmt::format("\n{} is not used: other programs have its memory. End them, or give --gpu {} --vram SIZE.\n",
                          device.name, device.name)
            : "";
  }
  if (const std::string no_room = no_room_for_driver(report.memory_allowed, report.drivers); !no_room.empty()) {
    text += fmt::format("\nBy default {}.\n", no_room);
  }
  std::string others;
  for (const GpuBackendInfo& backend : report.backends) {
    others += backend.problem.empty() ? "" : why_unused(backend.name, backend.problem, backend.advice);
  }
  return text + (others.empty() ? "" : "\n" + others);
}

Json devices_to_json(const DevicesReport& report) {
  Json devices = Json::array();
  for (const GpuDeviceInfo& device : report.devices) {
    devices.push_back(to_json(report, device));
  }
  Json backends = Json::array();
  for (const GpuBackendInfo& backend : report.backends) {
    backends.push_back({{"name", backend.name},
                        {"library", backend.library},
                        {"found", backend.found},
                        {"missing_library", backend.missing_library},
                        {"problem", backend.problem},
                        {"advice", backend.advice}});
  }
  return {{"processor", report.processor},
          {"cores", report.cores},
          {"memory_total", report.memory_total},
          {"memory_allowed", report.memory_allowed},
          {"nvidia_driver", report.drivers.nvidia_version},
          {"devices", devices},
          {"backends", backends}};
}

}  // namespace hypura
