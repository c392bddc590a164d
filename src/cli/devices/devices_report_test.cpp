#include "cli/devices/devices_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

DevicesReport machine() {
  DevicesReport report;
  report.processor = "Some CPU";
  report.cores = 8;
  report.memory_total = 64 * kGiB;
  report.memory_allowed = 9 * kGiB;
  return report;
}

GpuDeviceInfo gpu(const std::string& name, const std::string& backend) {
  GpuDeviceInfo device;
  device.name = name;
  device.description = "Some GPU";
  device.backend = backend;
  device.memory_total = 128 * kGiB;
  device.memory_free = 100 * kGiB;
  device.pinned_memory = true;
  return device;
}

TEST(DevicesReport, ColumnsAreAligned) {
  DevicesReport report = machine();
  report.devices.push_back(gpu("CUDA0", "CUDA"));
  EXPECT_EQ(devices_text(report),
            "Device     Memory       Free  Used        What it is\n"
            "CPU      64.0 GiB    9.0 GiB  always      Some CPU, 8 cores\n"
            "CUDA0   128.0 GiB  100.0 GiB  by default  Some GPU (CUDA)\n");
}

TEST(DevicesReport, OneGpuIsUsedOnceAndAnIntegratedOneOnlyIfNamed) {
  DevicesReport report = machine();
  report.devices = {gpu("CUDA0", "CUDA"), gpu("Vulkan0", "Vulkan"), gpu("Vulkan1", "Vulkan")};
  report.devices[1].same_as = "CUDA0";
  report.devices[2].integrated = true;
  const std::string text = devices_text(report);
  EXPECT_THAT(text, HasSubstr("is CUDA0    Some GPU (Vulkan)\n"));
  EXPECT_THAT(text, HasSubstr("if named    Some GPU (Vulkan), shares the machine's memory\n"));
  const auto json = devices_to_json(report);
  EXPECT_EQ(json["devices"][0]["used_by_default"], true);
  EXPECT_EQ(json["devices"][1]["used_by_default"], false);
  EXPECT_EQ(json["devices"][2]["used_by_default"], false);
}

TEST(DevicesReport, AllWithMemoryOfTheirOwnMayBeUsed) {
  DevicesReport report = machine();
  report.devices = {gpu("CUDA0", "CUDA"), gpu("CUDA1", "CUDA")};
  const auto json = devices_to_json(report);
  EXPECT_EQ(json["devices"][0]["used_by_default"], true);
  EXPECT_EQ(json["devices"][1]["used_by_default"], true);
}

TEST(DevicesReport, AGpuWhoseMemoryOthersHaveIsNotUsedByItself) {
  DevicesReport report = machine();
  report.devices = {gpu("CUDA0", "CUDA")};
  report.devices[0].memory_free = 300 * kMiB;
  EXPECT_THAT(devices_text(report), HasSubstr("no: taken  Some GPU"));
  EXPECT_THAT(devices_text(report), HasSubstr("\nCUDA0 is not used: other programs have its memory."));
  const auto json = devices_to_json(report);
  EXPECT_EQ(json["devices"][0]["used_by_default"], false);
  EXPECT_EQ(json["devices"][0]["taken"], true);
}

TEST(DevicesReport, SaysWhyAGpuCannotCompute) {
  DevicesReport report = machine();
  report.devices = {gpu("CUDA0", "CUDA"), gpu("Vulkan0", "Vulkan")};
  report.devices[0].problem = "its driver is too old";
  report.devices[0].advice = "install a newer driver";
  const std::string text = devices_text(report);
  EXPECT_THAT(text, HasSubstr("no: see below  Some GPU (CUDA)\n"));
  EXPECT_THAT(text, HasSubstr("by default     Some GPU (Vulkan)\n"));
  EXPECT_THAT(text, EndsWith("\nCUDA0 is not used: its driver is too old.\n  To use it: install a newer driver.\n"));
  const auto json = devices_to_json(report);
  EXPECT_EQ(json["devices"][0]["used_by_default"], false);
  EXPECT_EQ(json["devices"][0]["problem"], "its driver is too old");
  EXPECT_EQ(json["devices"][1]["used_by_default"], true);
  EXPECT_EQ(json["devices"][1]["problem"], "");
}

TEST(DevicesReport, SaysWhereADriverWouldTakeAllRam) {
  DevicesReport report = machine();
  report.drivers.nvidia = true;
  report.memory_allowed = 400 * kMiB;
  EXPECT_THAT(devices_text(report), HasSubstr("\nBy default no GPU is looked for: its driver would take"));
}

TEST(DevicesReport, SaysWhyABackendIsNotUsed) {
  DevicesReport report = machine();
  report.backends = {{"CUDA", "", false, "", "its library was not fetched", "make build GPU=cuda"},
                     {"Vulkan", "", false, "", "it finds no GPU", ""}};
  EXPECT_THAT(devices_text(report), EndsWith("\nNo GPU was found that models can be computed on.\n"
                                             "\nCUDA is not used: its library was not fetched.\n"
                                             "  To use it: make build GPU=cuda.\n"
                                             "Vulkan is not used: it finds no GPU.\n"));
  report.devices.push_back(gpu("CUDA0", "CUDA"));
  report.backends = {{"CUDA", "/lib/libggml-cuda.so", true, "", "", ""}};
  EXPECT_THAT(devices_text(report), Not(HasSubstr("used:")));
}

TEST(DevicesReport, WhatDriversSayIsPrintable) {
  DevicesReport report = machine();
  report.devices.push_back(gpu("CUDA0", "CUDA"));
  report.devices[0].description = "a\x1b[31mb\n";
  report.backends = {{"Vulkan", "", true, "", "it finds no GPU: \x1b[2J", ""}};
  EXPECT_THAT(devices_text(report), Not(HasSubstr("\x1b")));
}

TEST(DevicesReport, JsonHasAllOfIt) {
  DevicesReport report = machine();
  report.devices.push_back(gpu("CUDA0", "CUDA"));
  report.devices[0].bus = "0000:c1:00.0";
  report.backends = {{"CUDA", "/lib/libggml-cuda.so", true, "libcudart.so.13", "a problem", "an advice"}};
  report.drivers.nvidia_version = "580.1";
  const auto json = devices_to_json(report);
  EXPECT_EQ(json["processor"], "Some CPU");
  EXPECT_EQ(json["memory_total"], 64 * kGiB);
  EXPECT_EQ(json["nvidia_driver"], "580.1");
  EXPECT_EQ(json["devices"][0]["name"], "CUDA0");
  EXPECT_EQ(json["devices"][0]["bus"], "0000:c1:00.0");
  EXPECT_EQ(json["devices"][0]["memory_free"], 100 * kGiB);
  EXPECT_EQ(json["backends"][0]["missing_library"], "libcudart.so.13");
  EXPECT_EQ(json["backends"][0]["advice"], "an advice");
}

}  // namespace
}  // namespace hypura
