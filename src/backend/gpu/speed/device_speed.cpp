#include "backend/gpu/speed/device_speed.h"

#include <algorithm>
#include <string_view>
#include <utility>

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
  return DeviceBench::create(device, {round_up(weights, kMiB), test.copy_bytes, test.threads, test.pool, test.clock});
}

// Whether the device gives memory of the host that it copies from as it is.
bool is_pinned(ggml_backend_dev_t device) {
  ggml_backend_buffer_type_t type = ggml_backend_dev_host_buffer_type(device);
  return type != nullptr && type != ggml_backend_cpu_buffer_type();
}

// Keeps what could be measured of a device, and tells what could not.
class Findings {
 public:
  explicit Findings(const DeviceBench& bench) : name_(bench.name()) {}

  // False where `part` was not measured: `figure` is then as before.
  template <class T>
  bool keep(Result<T> measured, std::string_view part, T& figure) {
    if (!measured) {
      logger().warn("{} was measured without {}: {}", name_, part, measured.error().message);
      failure_ = std::move(measured.error());
      return false;
    }
    figure = std::move(*measured);
    return true;
  }

  // Of the last part that was not measured.
  const Error& failure() const { return failure_; }

 private:
  std::string name_;
  Error failure_;
};

// Without types that could not be measured: the others say enough.
std::vector<GpuKernelSpeed> measure_kernels(DeviceBench& bench, std::span<const std::string> types, const GpuTest& test,
                                            Findings& findings, const std::function<void(double)>& progress) {
  std::vector<GpuKernelSpeed> kernels;
  for (size_t i = 0; i < types.size(); ++i) {
    GpuKernelSpeed speed;
    auto measured = measure_products(bench, types[i], test.matmul_size, test.seconds);
    if (findings.keep(std::move(measured), fmt::format("{} weights", types[i]), speed)) {
      kernels.push_back(std::move(speed));
    }
    progress(static_cast<double>(i + 1) / static_cast<double>(types.size()));
  }
  return kernels;
}

// What is measured besides the products.
void measure_others(DeviceBench& bench, double seconds, Findings& findings, GpuProfile& profile) {
  profile.pinned = is_pinned(bench.device());
  OwnMemory own;
  findings.keep(measure_own_memory(bench, seconds), "copies from memory that is not pinned", own);
  profile.unpinned_upload_bytes_per_second = own.upload_bytes_per_second;
  profile.registers_memory = own.registers;
  profile.copies = measure_copies(bench, seconds);
  findings.keep(measure_operation(bench, seconds), "small operations", profile.operation_seconds);
  findings.keep(measure_cut(bench, seconds), "graphs in segments", profile.cut_seconds);
  findings.keep(measure_attention(bench, profile.operation_seconds, seconds), "attention",
                profile.attention_per_second);
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
  static_cast<void>(measure_operation(**bench, std::min(kWarmSeconds, 4 * test.seconds)));
  Findings findings(**bench);
  measure_others(**bench, test.seconds, findings, profile);
  profile.kernels =
      measure_kernels(**bench, types, test, findings, [&](double share) { progress(0.25 + 0.75 * share); });
  if (profile.operation_seconds == 0 && profile.kernels.empty()) {
    return propagate(findings.failure());
  }
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
  Findings findings(**bench);
  auto kernels = measure_kernels(**bench, types, test, findings, [&](double share) {
    if (test.progress) {
      test.progress(share);
    }
  });
  return kernels.empty() && !types.empty() ? propagate(findings.failure())
                                           : Result<std::vector<GpuKernelSpeed>>(std::move(kernels));
}

}  // namespace hypura
