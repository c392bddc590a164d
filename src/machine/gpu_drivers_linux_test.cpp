#include <gtest/gtest.h>

#include "machine/gpu_drivers.h"
#include "machine/test_tree.h"

namespace hypura {
namespace {

TEST(GpuDrivers, NvidiasVersionIsThatOfTheKernelModule) {
  const TestTree tree;
  tree.write("/proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"
             "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
  EXPECT_TRUE(read_gpu_drivers(tree.root()).nvidia);
  EXPECT_EQ(read_gpu_drivers(tree.root()).nvidia_version, "550.54.14");
  tree.write("/proc/driver/nvidia/version",
             "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (builder@host)\n");
  EXPECT_EQ(read_gpu_drivers(tree.root()).nvidia_version, "580.65.06");
}

TEST(GpuDrivers, ContainersMayHaveTheDeviceAlone) {
  const TestTree tree;
  tree.write("/dev/nvidiactl", "");
  EXPECT_TRUE(read_gpu_drivers(tree.root()).nvidia);
  EXPECT_EQ(read_gpu_drivers(tree.root()).nvidia_version, "");
  tree.write("/sys/module/nvidia/version", "570.1\n");
  EXPECT_EQ(read_gpu_drivers(tree.root()).nvidia_version, "570.1");
}

TEST(GpuDrivers, OthersShowARenderNode) {
  const TestTree tree;
  EXPECT_FALSE(read_gpu_drivers(tree.root()).any());
  tree.write("/dev/dri/card0", "");  // a display alone
  tree.write("/proc/driver/nvidia/version", "no such thing\n");
  EXPECT_FALSE(read_gpu_drivers(tree.root()).any());
  tree.write("/dev/dri/renderD128", "");
  EXPECT_TRUE(read_gpu_drivers(tree.root()).render_node);
  EXPECT_FALSE(read_gpu_drivers(tree.root()).nvidia);
}

}  // namespace
}  // namespace hypura
