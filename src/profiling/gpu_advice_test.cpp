#include "profiling/gpu_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

LoadedGpuBackend not_fetched(const std::string& name) {
  LoadedGpuBackend backend;
  backend.name = name;
  return backend;
}

LoadedGpuBackend lacking(const std::string& name, const std::string& library) {
  LoadedGpuBackend backend = not_fetched(name);
  backend.library = "/lib/libggml.so";
  backend.missing_library = library;
  backend.error = library + ": cannot open shared object file: No such file or directory";
  return backend;
}

LoadedGpuBackend without_devices(const std::string& name, const std::string& error) {
  LoadedGpuBackend backend = not_fetched(name);
  backend.library = "/lib/libggml.so";
  backend.loaded = true;
  backend.error = error;
  return backend;
}

const GpuDrivers kNone;
const GpuDrivers kNvidia{true, "580.65.06", false};
const GpuDrivers kOldNvidia{true, "550.54.14", false};
const GpuDrivers kNvidiaOfUnknownVersion{true, "", false};
const GpuDrivers kOther{false, "", true};

TEST(GpuAdvice, WhatWorksNeedsNone) {
  LoadedGpuBackend backend = without_devices("CUDA", "");
  backend.devices = 1;
  const GpuBackendInfo info = explain_backend(backend, kNvidia);
  EXPECT_TRUE(info.found);
  EXPECT_EQ(info.library, "/lib/libggml.so");
  EXPECT_THAT(info.problem, IsEmpty());
  EXPECT_THAT(info.advice, IsEmpty());
}

TEST(GpuAdvice, WhatWasNotFetchedIsAdvisedWhereThereIsADriver) {
  for (const GpuDrivers& drivers : {kNvidia, kNvidiaOfUnknownVersion}) {
    const GpuBackendInfo cuda = explain_backend(not_fetched("CUDA"), drivers);
    EXPECT_FALSE(cuda.found);
    EXPECT_THAT(cuda.problem, HasSubstr("not fetched"));
    EXPECT_EQ(cuda.advice, "make build GPU=cuda");
  }
  EXPECT_EQ(explain_backend(not_fetched("Vulkan"), kOther).advice, "make build GPU=vulkan");
  EXPECT_EQ(explain_backend(not_fetched("Vulkan"), kNvidia).advice, "make build GPU=vulkan");
  for (const GpuDrivers& drivers : {kNone, kOther}) {
    const GpuBackendInfo cuda = explain_backend(not_fetched("CUDA"), drivers);
    EXPECT_THAT(cuda.problem, HasSubstr("no driver of NVIDIA's"));
    EXPECT_THAT(cuda.advice, IsEmpty());
  }
  const GpuBackendInfo vulkan = explain_backend(not_fetched("Vulkan"), kNone);
  EXPECT_THAT(vulkan.problem, HasSubstr("no driver of a GPU"));
  EXPECT_THAT(vulkan.advice, IsEmpty());
}

TEST(GpuAdvice, AnOldDriverIsNamedWithWhatIsNeeded) {
  const GpuBackendInfo info = explain_backend(not_fetched("CUDA"), kOldNvidia);
  EXPECT_THAT(info.problem, AllOf(HasSubstr("550.54.14"), HasSubstr("580")));
  EXPECT_THAT(info.advice, AllOf(HasSubstr("newer driver"), HasSubstr("GPU=vulkan")));
  const GpuBackendInfo started = explain_backend(
      without_devices("CUDA",
                      "failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version"),
      kOldNvidia);
  EXPECT_THAT(started.problem, AllOf(HasSubstr("550.54.14"), HasSubstr("580")));
  EXPECT_THAT(started.advice, HasSubstr("newer driver"));
}

TEST(GpuAdvice, AMissingLibraryIsNamedWithWhatBringsIt) {
  const GpuBackendInfo runtime = explain_backend(lacking("CUDA", "libcudart.so.13"), kNvidia);
  EXPECT_EQ(runtime.missing_library, "libcudart.so.13");
  EXPECT_THAT(runtime.problem, HasSubstr("libcudart.so.13"));
  EXPECT_THAT(runtime.advice, AllOf(HasSubstr("cuda-cudart-13-0"), HasSubstr("GPU=vulkan"), Not(HasSubstr("driver"))));
  EXPECT_THAT(explain_backend(lacking("CUDA", "libcublas.so.13"), kOldNvidia).advice, HasSubstr("newer driver"));
  EXPECT_THAT(explain_backend(lacking("CUDA", "libcuda.so.1"), kNone).advice,
              AllOf(HasSubstr("driver"), HasSubstr("580"), Not(HasSubstr("cudart"))));
  EXPECT_THAT(explain_backend(lacking("Vulkan", "libvulkan.so.1"), kOther).advice, HasSubstr("libvulkan1"));
}

TEST(GpuAdvice, ALibraryThatFailsSaysWhatItSaid) {
  LoadedGpuBackend backend = lacking("CUDA", "");
  backend.error = "/lib/libggml.so: invalid ELF header";
  EXPECT_THAT(explain_backend(backend, kNvidia).problem, HasSubstr("invalid ELF header"));
  backend.error.clear();
  EXPECT_THAT(explain_backend(backend, kNvidia).problem, HasSubstr("does not start"));
  EXPECT_THAT(explain_backend(without_devices("CUDA", "no CUDA-capable device is detected"), kNvidia).problem,
              HasSubstr("no CUDA-capable device"));
}

TEST(GpuAdvice, VulkanWithoutDevicesWantsTheGpusDriver) {
  EXPECT_THAT(explain_backend(without_devices("Vulkan", ""), kOther).advice, HasSubstr("mesa-vulkan-drivers"));
  EXPECT_THAT(explain_backend(without_devices("Vulkan", ""), kNone).advice, IsEmpty());
}

TEST(GpuAdvice, CodeThatADriverCannotCompileIsToldWithTheDriverThatCan) {
  GpuDeviceInfo device;
  explain_unusable({"CUDA0", "9.0", "13.0", true, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}, device);
  EXPECT_THAT(device.problem, AllOf(HasSubstr("compute capability 9.0"), HasSubstr("CUDA 13.0")));
  EXPECT_THAT(device.advice, AllOf(HasSubstr("driver 590"), HasSubstr("GPU=vulkan")));
  explain_unusable({"CUDA0", "6.1", "13.2", false, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, device);
  EXPECT_THAT(device.problem, AllOf(HasSubstr("compute capability 6.1"), HasSubstr("CUDA_ERROR_NO_BINARY_FOR_GPU")));
  EXPECT_THAT(device.advice, AllOf(Not(HasSubstr("install")), HasSubstr("GPU=vulkan")));
}

TEST(GpuAdvice, AGpuWithAProblemIsNotUsedByDefault) {
  std::vector<GpuDeviceInfo> devices(2);
  devices[0].name = "CUDA0";
  devices[0].problem = "a problem";
  devices[1].name = "Vulkan0";
  const auto chosen = gpus_by_default(devices);
  ASSERT_EQ(chosen.size(), 1U);
  EXPECT_EQ(chosen[0].name, "Vulkan0");
}

}  // namespace
}  // namespace hypura
