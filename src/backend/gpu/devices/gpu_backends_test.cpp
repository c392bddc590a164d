#include "backend/gpu/devices/gpu_backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "backend/gpu/devices/gpu_list.h"
#include "ggml-backend.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(GpuBackends, TheLinkersReasonNamesTheMissingLibrary) {
  EXPECT_EQ(missing_library("libcudart.so.13: cannot open shared object file: No such file or directory"),
            "libcudart.so.13");
  // It is there, and something else is wrong with it.
  EXPECT_EQ(missing_library("/lib/libggml-cuda.so: invalid ELF header"), "");
  EXPECT_EQ(missing_library("/lib/libggml-cuda.so: cannot open shared object file: Permission denied"), "");
  EXPECT_EQ(missing_library("/lib/x/libggml-vulkan.so: undefined symbol: ggml_abort"), "");
  EXPECT_EQ(missing_library(""), "");
}

TEST(GpuBackends, WhatIsNoLibraryIsRefusedWithAReason) {
  const TempDir folder;
  const std::filesystem::path file = folder.path() / "libggml-x.so";
  std::ofstream(file) << "this is no library";
  const LoadedGpuBackend backend = load_gpu_library("X", file);
  EXPECT_FALSE(backend.loaded);
  EXPECT_EQ(backend.devices, 0U);
  EXPECT_EQ(backend.library, file);
  EXPECT_THAT(backend.error, HasSubstr("libggml-x.so"));
  EXPECT_THAT(backend.missing_library, IsEmpty());
}

TEST(GpuBackends, ALibraryThatIsNoBackendIsRefusedWithAReason) {
  const LoadedGpuBackend backend = load_gpu_library("X", "libm.so.6");
  EXPECT_FALSE(backend.loaded);
  EXPECT_THAT(backend.error, HasSubstr("ggml_backend_init"));
}

TEST(GpuList, TheProcessorIsFoundByNameAndNotListed) {
  ggml_backend_load_all_from_path(HYPURA_LLAMA_LIB_DIR);
  ASSERT_NE(gpu_by_name("cpu"), nullptr);
  EXPECT_EQ(gpu_by_name("CPU"), gpu_by_name("cpu"));
  EXPECT_EQ(describe_gpu(gpu_by_name("CPU")).name, "CPU");
  EXPECT_EQ(gpu_by_name("CPU1"), nullptr);
  EXPECT_EQ(gpu_by_name(""), nullptr);
  for (const GpuDeviceInfo& gpu : list_gpus()) {
    EXPECT_NE(gpu.name, "CPU");
    EXPECT_EQ(describe_gpu(gpu_by_name(gpu.name)).description, gpu.description);
    EXPECT_LE(gpu.memory_free, gpu.memory_total);
  }
}

}  // namespace
}  // namespace hypura
