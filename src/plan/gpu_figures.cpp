#include "plan/gpu_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string_view>

#include "model/model.h"

namespace hypura {

namespace {

// Rows of a matrix product that GpuProductSpeed's two rates of many tokens are of: tokens of a single matrix, those
// that chose an expert where a token uses 8 of 64.
constexpr double kSomeRows = 512;
constexpr double kManyRows = 2048;
constexpr double kSomeExpertRows = 64;
constexpr double kManyExpertRows = 256;

// What a cut takes of the computing thread besides what the profile measures: slots are looked up, nodes pointed to
// them. Assumed.
constexpr double kCutBookkeeping = 1e-5;

// Assumed where nothing was measured: cards of the middle of the last years, and a slow slot for them.
struct AssumedGpu {
  std::string_view backend;
  double upload = 0;     // bytes a second; back as fast
  double cut = 0;        // seconds
  double operation = 0;  // seconds
  double matvec = 0;     // bytes a second
  double flops = 0;
  double attention = 0;  // a second
};
constexpr std::array<AssumedGpu, 5> kAssumed = {{
    {"CUDA", 12e9, 2e-5, 2e-6, 300e9, 30e12, 200e9},
    {"Vulkan", 12e9, 1.2e-4, 4e-6, 250e9, 15e12, 100e9},
    {"Metal", 50e9, 1e-4, 4e-6, 80e9, 5e12, 50e9},
    {"CPU", 5e9, 1e-5, 5e-6, 16e9, 120e9, 4e9},
    {"", 6e9, 1.2e-4, 5e-6, 100e9, 5e12, 50e9},  // any other
}};

// As many times an operation: a product first turns its columns into blocks, in a kernel of its own.
constexpr double kProductOperations = 2;
// Of the rate of a matrix, what those of experts reach, which are small.
constexpr double kExpertShare = 0.5;
constexpr uint64_t kAnySize = 1 << 20;

GpuProfile assumed_profile(std::string_view backend) {
  const auto* it = std::ranges::find_if(
      kAssumed, [&](const AssumedGpu& gpu) { return gpu.backend == backend || gpu.backend.empty(); });
  GpuProfile profile;
  profile.copies = {{kAnySize, it->upload, it->upload}};
  profile.cut_seconds = it->cut;
  profile.operation_seconds = it->operation;
  profile.attention_per_second = it->attention;
  const double least = kProductOperations * it->operation;
  profile.kernels = {{"",
                      {least, it->matvec, it->flops, it->flops},
                      {least, kExpertShare * it->matvec, kExpertShare * it->flops, kExpertShare * it->flops}}};
  return profile;
}

const GpuProductSpeed& speed_of(const GpuKernelSpeed& kernel, bool experts) {
  return experts ? kernel.experts : kernel.matrix;
}

bool computes(const GpuKernelSpeed& kernel, bool experts) {
  const GpuProductSpeed& speed = speed_of(kernel, experts);
  return speed.seconds > 0 && speed.matvec_bytes_per_second > 0 && speed.matmul_flops > 0 &&
         speed.large_matmul_flops > 0;
}

// The rate at so many rows, between the two that were measured and never outside of them.
double flops_at(const GpuProductSpeed& speed, double rows, double some, double many) {
  const double share = std::clamp(std::log(rows / some) / std::log(many / some), 0.0, 1.0);
  return speed.matmul_flops + share * (speed.large_matmul_flops - speed.matmul_flops);
}

// Seconds of a copy: between two sizes that were measured as the line between them, else at the rate of the last one,
// or in the time of the first.
template <class Rate>
double copy_seconds(const std::vector<CopyPoint>& copies, double bytes, Rate rate) {
  const auto seconds = [&](const CopyPoint& it) { return static_cast<double>(it.bytes) / rate(it); };
  const auto larger =
      std::ranges::find_if(copies, [&](const CopyPoint& it) { return static_cast<double>(it.bytes) >= bytes; });
  if (larger == copies.end()) {
    return bytes / rate(copies.back());
  }
  if (larger == copies.begin()) {
    return copies.size() == 1 ? bytes / rate(*larger) : seconds(*larger);
  }
  const CopyPoint& below = *std::prev(larger);
  const double share = (bytes - static_cast<double>(below.bytes)) / static_cast<double>(larger->bytes - below.bytes);
  return std::max(seconds(below), seconds(below) + share * (seconds(*larger) - seconds(below)));
}

bool measured_copies(const GpuProfile& profile) {
  return !profile.copies.empty() && std::ranges::all_of(profile.copies, [](const CopyPoint& it) {
    return it.bytes > 0 && it.upload_bytes_per_second > 0 && it.download_bytes_per_second > 0;
  });
}

bool has_products(const GpuProfile& profile, bool experts) {
  return std::ranges::any_of(profile.kernels, [&](const GpuKernelSpeed& it) { return computes(it, experts); });
}

}  // namespace

// Each part by itself: what could not be measured of a device says nothing against the rest.
GpuFigures::GpuFigures(const GpuProfile* profile, const GpuDeviceInfo& device, double cut)
    : assumed_(assumed_profile(device.backend)), figures_(assumed_) {
  const GpuProfile none;
  const GpuProfile& measured = profile == nullptr ? none : *profile;
  const auto choose = [](double first, double second, double third) {
    return first > 0 ? first : second > 0 ? second : third;
  };
  has_copies_ = measured_copies(measured);
  figures_.copies = has_copies_ ? measured.copies : assumed_.copies;
  figures_.operation_seconds = choose(measured.operation_seconds, 0, assumed_.operation_seconds);
  figures_.cut_seconds = choose(measured.cut_seconds, cut, assumed_.cut_seconds);
  figures_.attention_per_second = choose(measured.attention_per_second, 0, assumed_.attention_per_second);
  figures_.kernels = measured.kernels;
  if (!has_copies_ || measured.operation_seconds <= 0 || !has_products(measured, false) ||
      !has_products(measured, true)) {
    assumption_ = fmt::format(" by assumed speeds of {} (`hypura profile{}` measures it)", device.name,
                              device.integrated || device.backend == "CPU" ? " --gpu " + device.name : "");
  }
}

const GpuKernelSpeed* GpuFigures::kernel(int type) const {
  return figures_.kernel(type_name(type));
}

bool GpuFigures::lacks(int type, bool experts) const {
  const GpuKernelSpeed* its = kernel(type);
  return its != nullptr && !computes(*its, experts);
}

// Of the type itself; of a type that was not measured those of the slowest that was, or else what is assumed of any.
const GpuProductSpeed& GpuFigures::product(int type, bool experts) const {
  const GpuKernelSpeed* its = kernel(type);
  if (its != nullptr && computes(*its, experts)) {
    return speed_of(*its, experts);
  }
  const GpuProductSpeed* slowest = nullptr;
  for (const GpuKernelSpeed& it : figures_.kernels) {
    const GpuProductSpeed& speed = speed_of(it, experts);
    const bool slower = slowest == nullptr || speed.matvec_bytes_per_second < slowest->matvec_bytes_per_second;
    slowest = computes(it, experts) && slower ? &speed : slowest;
  }
  return slowest == nullptr ? speed_of(assumed_.kernels.front(), experts) : *slowest;
}

PassSeconds GpuFigures::matrix(int type, double bytes, double elements, uint32_t tokens) const {
  const GpuProductSpeed& speed = product(type, false);
  const double first = speed.seconds + bytes / speed.matvec_bytes_per_second;
  if (tokens <= 1) {
    return {first, 0};
  }
  const double rows = tokens;
  const double many = speed.seconds + 2 * elements * rows / flops_at(speed, rows, kSomeRows, kManyRows);
  return {first, std::max(0.0, many - first) / (rows - 1)};
}

double GpuFigures::experts_least(int type) const {
  return product(type, true).seconds;
}

double GpuFigures::expert_bytes(int type, double bytes) const {
  return bytes / product(type, true).matvec_bytes_per_second;
}

double GpuFigures::expert_row(int type, double elements, double rows) const {
  return 2 * elements / flops_at(product(type, true), rows, kSomeExpertRows, kManyExpertRows);
}

double GpuFigures::upload(double bytes) const {
  return copy_seconds(figures_.copies, bytes, [](const CopyPoint& it) { return it.upload_bytes_per_second; });
}

double GpuFigures::download(double bytes) const {
  return copy_seconds(figures_.copies, bytes, [](const CopyPoint& it) { return it.download_bytes_per_second; });
}

double GpuFigures::cut() const {
  return figures_.cut_seconds + kCutBookkeeping;
}

double GpuFigures::operation() const {
  return figures_.operation_seconds;
}

double GpuFigures::attention(double elements) const {
  return elements / figures_.attention_per_second;
}

}  // namespace hypura
