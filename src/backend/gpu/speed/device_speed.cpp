#include "backend/gpu/speed/device_speed.h"

#include <algorithm>
#include <optional>

#include "backend/gpu/speed/device_bench.h"
#include "backend/gpu/speed/product_speed.h"
#include "backend/gpu/speed/transfer_speed.h"
#include "ggml-backend.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr double kWarmSeconds = 0.1;  // a GPU that rested has slow clocks at first
constexpr double kCutSeconds = 0.005;

Result<std::unique_ptr<DeviceBench>> open_bench(const std::string& name, const GpuTest& test) {
  ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
  if (device == nullptr) {
    return fail(ErrorCode::kUsage, "there is no device '{}' to measure", name);
  }
  size_t free = 0;
  size_t total = 0;
  ggml_backend_dev_memory(device, &free, &total);
  const uint64_t least = least_weight_bytes(test.matmul_size);
  if (free < 2 * least) {
    return fail(ErrorCode::kBudget, "{} has {} free, and needs {} to be measured; end what else uses it", name,
                format_bytes(free), format_bytes(2 * least));
  }
  const uint64_t weights = std::max(least, std::min<uint64_t>(test.weight_bytes, free / 4));
  return DeviceBench::create(device, {round_up(weights, kMiB), test.copy_bytes, test.threads, test.pool});
}

// Whether the device gives memory of the host that it copies from as it is.
bool is_pinned(ggml_backend_dev_t device) {
  ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(device);
  return type != nullptr && type != ggml_backend_cpu_buffer_type();
}

// A type that cannot be measured is left out: the others say enough. Fails where none can be.
Result<std::vector<GpuKernelSpeed>> measure_kernels(DeviceBench& bench, std::span<const std::string> types,
                                                    const GpuTest& test, const std::function<void(double)>& progress) {
  std::vector<GpuKernelSpeed> kernels;
  std::optional<Error> failed;
  for (size_t i = 0; i < types.size(); ++i) {
    auto speed = measure_products(bench, types[i], test.matmul_size, test.seconds);
    if (speed) {
      kernels.push_back(std::move(*speed));
    } else {
      logger().warn("{} weights were not measured: {}", types[i], speed.error().message);
      failed = speed.error();
    }
    progress(static_cast<double>(i + 1) / static_cast<double>(types.size()));
  }
  if (kernels.empty() && failed) {
    return propagate(*failed);
  }
  return kernels;
}

// What is measured besides the products.
Status measure_others(DeviceBench& bench, double seconds, GpuProfile& profile) {
  profile.pinned = is_pinned(bench.device());
  const auto own = measure_own_memory(bench, seconds);
  if (!own) {
    return propagate(own.error());
  }
  profile.unpinned_upload_bytes_per_second = own->upload_bytes_per_second;
  profile.registers_memory = own->registers;
  profile.copies = measure_copies(bench, seconds);
  const auto operation = measure_operation(bench, seconds);
  if (!operation) {
    return propagate(operation.error(), "small operations");
  }
  profile.operation_seconds = *operation;
  const auto cut = measure_cut(bench, seconds);
  if (!cut) {
    return propagate(cut.error(), "a graph in segments");
  }
  profile.cut_seconds = *cut;
  const auto attention = measure_attention(bench, profile.operation_seconds, seconds);
  if (!attention) {
    logger().warn("attention was not measured: {}", attention.error().message);
  }
  profile.attention_per_second = attention.value_or(0);
  return {};
}

}  // namespace

Result<GpuProfile> measure_gpu(const std::string& name, std::span<const std::string> types, const GpuTest& test) {
  const auto bench = open_bench(name, test);
  if (!bench) {
    return propagate(bench.error());
  }
  GpuProfile profile;
  profile.name = (*bench)->name();
  profile.description = ggml_backend_dev_description((*bench)->device());
  const auto progress = [&](double share) {
    if (test.progress) {
      test.progress(share);
    }
  };
  if (const auto warm = measure_operation(**bench, std::min(kWarmSeconds, 4 * test.seconds)); !warm) {
    return propagate(warm.error(), "small operations, for the first time");
  }
  if (Status status = measure_others(**bench, test.seconds, profile); !status) {
    return propagate(status.error());
  }
  auto kernels = measure_kernels(**bench, types, test, [&](double share) { progress(0.25 + 0.75 * share); });
  if (!kernels) {
    return propagate(kernels.error());
  }
  profile.kernels = std::move(*kernels);
  progress(1);
  return profile;
}

Result<double> measure_gpu_cut(const std::string& name) {
  ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
  if (device == nullptr) {
    return fail(ErrorCode::kUsage, "there is no device '{}' to measure", name);
  }
  const auto bench = DeviceBench::create(device, {kMiB, kMiB});
  if (!bench) {
    return propagate(bench.error());
  }
  return measure_cut(**bench, kCutSeconds);
}

Result<std::vector<GpuKernelSpeed>> measure_gpu_kernels(const std::string& name, std::span<const std::string> types,
                                                        const GpuTest& test) {
  const auto bench = open_bench(name, test);
  if (!bench) {
    return propagate(bench.error());
  }
  return measure_kernels(**bench, types, test, [&](double share) {
    if (test.progress) {
      test.progress(share);
    }
  });
}

}  // namespace hypura
