#include "backend/gpu/devices/cuda_code.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

class FakeDriver final : public CudaDriver {
 public:
  explicit FakeDriver(std::vector<int> answers) : answers_(std::move(answers)) {}

  int devices() const override { return static_cast<int>(answers_.size()); }
  std::string version() const override { return "13.0"; }
  std::string capability(int device) const override { return std::to_string(device + 7) + ".5"; }
  int load(int device, std::span<const std::byte> /*code*/) const override { return answers_[device]; }
  std::string error_name(int error) const override { return "error " + std::to_string(error); }

 private:
  std::vector<int> answers_;
};

const std::vector<std::byte> kCode(16);

TEST(CudaCode, GpusWhoseDriverRefusesTheCodeAreTold) {
  const auto unusable = unusable_gpus(FakeDriver({0, 222, 209}), kCode);
  ASSERT_EQ(unusable.size(), 2U);
  EXPECT_EQ(unusable[0].name, "CUDA1");
  EXPECT_EQ(unusable[0].capability, "8.5");
  EXPECT_EQ(unusable[0].driver_cuda, "13.0");
  EXPECT_TRUE(unusable[0].newer_driver);
  EXPECT_EQ(unusable[1].name, "CUDA2");
  EXPECT_FALSE(unusable[1].newer_driver) << "no driver brings code for it";
  EXPECT_EQ(unusable[1].error, "error 209");
}

TEST(CudaCode, WhatElseADriverSaysIsNoReason) {
  const std::vector<int> others = {1, 2, 46, 100, 201, 999};  // no memory, a device that is taken, no context, ...
  EXPECT_TRUE(unusable_gpus(FakeDriver(others), kCode).empty());
  EXPECT_TRUE(unusable_gpus(FakeDriver({}), kCode).empty());
  EXPECT_TRUE(unusable_gpus(FakeDriver({222}), {}).empty()) << "nothing was asked";
}

}  // namespace
}  // namespace hypura
