#include "plan/machine_speeds.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "model/model.h"
#include "storage/reader.h"
#include "support/units.h"

namespace hypura {

namespace {

// Assumed where nothing was measured: a desktop processor of the last years, and an NVMe disk of the slower kind.
constexpr double kThreadBytes = 8e9;   // weight bytes a second and thread, one column
constexpr double kThreadFlops = 60e9;  // operations a second and thread, many columns
constexpr double kOperation = 5e-6;    // seconds
constexpr double kDiskBytes = 2e9;     // bytes a second
constexpr double kDiskLatency = 1e-4;  // seconds
constexpr int kPromptColumns = 512;    // of KernelSpeed::matmul_flops

// Of a kernel's rate measured by itself, what a model's products for one token reach: 18.6 of 24.9 GB/s in a dense
// model, 17.4 in a MoE, Q4_0, two threads; and how computing grows with threads: one of two gives 0.61. Both in
// docs/lab/experiments.md, "What a token's computing takes".
constexpr double kInModel = 0.75;
constexpr double kThreadExponent = 0.7;
// Of reading beside computing, measured once by hand: 1.92 to 2.08 of 2.33 GB/s (docs/lab/experiments.md, "The disk
// while computing").
constexpr double kReadingKept = 0.88;
constexpr double kReadSeconds = 5e-6;  // that issuing a read takes
// Attention, a second and thread: half of what one thread of an AMD EPYC does.
constexpr double kThreadAttention = 2e9;
// What products for one token reach of a repacked kernel's rate: 32.7 of 33.6 GB/s in a resident dense model, Q4_0, two
// threads (docs/lab/experiments.md, "Repacked, as the profile measures it").
constexpr double kRepackedInModel = 0.97;
// Of experts' matrices in models, Q4_0 (docs/lab/experiments.md, "Packed copies").
constexpr MachineSpeeds::Repacked kExpertGain = {1.2, 1.4};
// An expert's matrix with all tokens that chose it, repacked, by a matrix of 512 columns as it is on disk: where it was
// not measured.
constexpr double kAloneGain = 1.3;
// Of a repacked expert's rate measured by itself, what prompts reach, with copies of rows and all between the products:
// 0.94, 0.87 and 0.70 of three shapes (docs/lab/experiments.md, "Predictions for prompts, measured").
constexpr double kAloneInModel = 0.85;
// Repacking, a second and thread, where it was not measured: 1.5 to 1.8e9 with Q4_0 (docs/lab/experiments.md,
// "Repacking for prompts").
constexpr double kRepackBytes = 1.6e9;

// Of ranges of rows; and the share of a range's product that may be what a product takes whatever its size. Chosen:
// below the smallest a ring is no longer what a small budget is short of.
constexpr uint64_t kSmallestRange = 8 * kMiB;
constexpr uint64_t kLargestRange = 32 * kMiB;
constexpr double kRangeOverhead = 0.01;

// Mean of a figure over the kernels that have it; 0 when none has.
template <class Get>
double mean(const std::vector<KernelSpeed>& kernels, Get get) {
  double sum = 0;
  double count = 0;
  for (const KernelSpeed& it : kernels) {
    if (get(it) > 0) {
      sum += get(it);
      ++count;
    }
  }
  return count > 0 ? sum / count : 0;
}

// The figure of the kernel for `type`, else the mean of all.
template <class Get>
double figure(const MachineProfile* profile, const char* type, Get get) {
  if (profile == nullptr) {
    return 0;
  }
  for (const KernelSpeed& it : profile->kernels) {
    if (it.type == type && get(it) > 0) {
      return get(it);
    }
  }
  return mean(profile->kernels, get);
}

// Scattered points with blocks of the largest size up to `block`, or of the smallest there is, and up to `depth` at a
// time; the shallowest first.
std::vector<StoragePoint> points_like(std::vector<StoragePoint> points, uint64_t block, uint32_t depth) {
  std::erase_if(points,
                [&](const StoragePoint& it) { return !it.scattered || it.depth > depth || it.bytes_per_second <= 0; });
  std::sort(points.begin(), points.end(), [](const StoragePoint& a, const StoragePoint& b) {
    return std::pair(a.block_bytes, a.depth) < std::pair(b.block_bytes, b.depth);
  });
  const auto larger =
      std::find_if(points.begin(), points.end(), [&](const StoragePoint& it) { return it.block_bytes > block; });
  const auto nearest = larger == points.begin() ? larger : std::prev(larger);
  const uint64_t size = nearest == points.end() ? 0 : nearest->block_bytes;
  std::erase_if(points, [size](const StoragePoint& it) { return it.block_bytes != size; });
  return points;
}

// With AVX-512; measured for Q4_0 (docs/lab/experiments.md), the other two have kernels of the same make.
bool usually_repacked(std::string_view type) {
  return type == "q4_0" || type == "q4_K" || type == "iq4_nl";
}

}  // namespace

MachineSpeeds::MachineSpeeds(const MachineProfile* profile, uint32_t threads)
    : profile_(profile), operation_(kOperation), threads_(std::max(threads, 1U)) {
  if (profile == nullptr) {
    assumption_ = " by assumed speeds (`hypura profile` measures them)";
    return;
  }
  if (profile->threads > 0) {
    scale_ = std::min(1.0, std::pow(static_cast<double>(threads_) / profile->threads, kThreadExponent));
  }
  if (profile->operation_seconds > 0) {
    operation_ = profile->operation_seconds;
  }
  scale_ *= profile->lasting_share;
  operation_ /= profile->lasting_share;
  if (profile->storage.points.empty()) {
    assumption_ = " by an assumed disk (`hypura profile --path` measures this one)";
  } else if (profile->kernels.empty()) {
    assumption_ = " by an assumed processor (`hypura profile` measures this one)";
  } else if (profile->doubtful()) {
    assumption_ = " by a doubtful profile (`hypura profile` measures again)";
  }
}

const KernelSpeed* MachineSpeeds::kernel_of(const char* type) const {
  return profile_ == nullptr ? nullptr : profile_->kernel(type);
}

double MachineSpeeds::kernel_bytes_per_second(const char* type) const {
  const double measured = figure(profile_, type, [](const KernelSpeed& it) { return it.matvec_bytes_per_second; });
  return measured > 0 ? measured * scale_ : kThreadBytes * threads_;
}

double MachineSpeeds::kernel_flops(const char* type) const {
  const double measured = figure(profile_, type, [](const KernelSpeed& it) { return it.matmul_flops; });
  return measured > 0 ? measured * scale_ : kThreadFlops * threads_;
}

double MachineSpeeds::alone_flops(const char* type) const {
  const KernelSpeed* kernel = kernel_of(type);
  const bool measured = kernel != nullptr && kernel->repacked_expert_matmul_flops > 0;
  return measured ? kernel->repacked_expert_matmul_flops * kAloneInModel * scale_ : kernel_flops(type) * kAloneGain;
}

PassSeconds MachineSpeeds::matrix(int type, double bytes, double elements) const {
  const char* name = type_name(type);
  const double first = bytes / (kInModel * kernel_bytes_per_second(name)) + operation_;
  const double many = kPromptColumns * 2 * elements / kernel_flops(name) + operation_;
  return {first, std::max(0.0, many - first) / (kPromptColumns - 1)};
}

PassSeconds MachineSpeeds::expert_matrix(int type, double bytes, double elements) const {
  const char* name = type_name(type);
  const double rate = kernel_bytes_per_second(name);
  const double flops = scale_ * figure(profile_, name, [](const KernelSpeed& it) { return it.expert_matmul_flops; });
  const double row = bytes / rate;
  return {row / kInModel, flops > 0 ? std::min(row, 2 * elements / flops) : row};
}

PassSeconds MachineSpeeds::repacked_expert(int type, double bytes, double elements) const {
  const double rate = alone_flops(type_name(type));
  return {expert_matrix(type, bytes, elements).first / repacked_expert(type).token, 2 * elements / rate};
}

PassSeconds MachineSpeeds::repacked_matrix(int type, double bytes, double elements) const {
  const double flops = kernel_flops(type_name(type));
  return repacked_first(type, bytes, elements, flops * repacked_dense(type).prompt);
}

PassSeconds MachineSpeeds::repacked_alone(int type, double bytes, double elements) const {
  return repacked_first(type, bytes, elements, alone_flops(type_name(type)));
}

PassSeconds MachineSpeeds::repacked_first(int type, double bytes, double elements, double flops) const {
  const KernelSpeed* kernel = kernel_of(type_name(type));
  const bool measured = kernel != nullptr && kernel->repack_bytes_per_second > 0;
  const double rate =
      measured ? kernel->repack_bytes_per_second * scale_ : kRepackBytes * std::pow(threads_, kThreadExponent);
  const double row = 2 * elements / flops;
  return {bytes / rate + row, row};
}

Contention MachineSpeeds::contention() const {
  const bool measured = profile_ != nullptr && profile_->storage.computing_kept > 0;
  return measured ? Contention{1 - profile_->storage.computing_kept, 1 - profile_->storage.reading_kept}
                  : Contention{0, 1 - kReadingKept};
}

double MachineSpeeds::read_seconds() const {
  const double measured = profile_ == nullptr ? 0 : profile_->storage.read_seconds;
  return measured > 0 ? measured : kReadSeconds;
}

double MachineSpeeds::attention(double elements) const {
  const double measured = profile_ == nullptr ? 0 : profile_->attention_per_second;
  return elements / (measured > 0 ? measured * scale_ : kThreadAttention * threads_);
}

double MachineSpeeds::prompt_attention(double elements) const {
  const double measured = profile_ == nullptr ? 0 : profile_->prompt_attention_per_second;
  return measured > 0 ? elements / (measured * scale_) : attention(elements);
}

MachineSpeeds::Repacked MachineSpeeds::repacked_dense(int type) const {
  const KernelSpeed* kernel = kernel_of(type_name(type));
  if (kernel == nullptr || kernel->matmul_flops <= 0) {
    return usually_repacked(type_name(type)) ? Repacked{1.8, 1.3} : Repacked{};
  }
  if (kernel->repacked_matmul_flops <= 0) {
    return {};
  }
  return {kRepackedInModel / kInModel * kernel->repacked_matvec_bytes_per_second / kernel->matvec_bytes_per_second,
          kernel->repacked_matmul_flops / kernel->matmul_flops};
}

MachineSpeeds::Repacked MachineSpeeds::resident_dense(int type) const {
  const KernelSpeed* kernel = kernel_of(type_name(type));
  if (kernel == nullptr || kernel->matmul_flops <= 0 || kernel->resident_matmul_flops <= 0) {
    return repacked_dense(type);
  }
  return {kRepackedInModel / kInModel * kernel->resident_matvec_bytes_per_second / kernel->matvec_bytes_per_second,
          kernel->resident_matmul_flops / kernel->matmul_flops};
}

MachineSpeeds::Repacked MachineSpeeds::repacked_expert(int type) const {
  const KernelSpeed* kernel = kernel_of(type_name(type));
  if (kernel == nullptr || kernel->matmul_flops <= 0) {
    return usually_repacked(type_name(type)) ? kExpertGain : Repacked{};
  }
  if (kernel->repacked_matmul_flops <= 0) {
    return {};
  }
  return {std::min(kExpertGain.token, kernel->repacked_matvec_bytes_per_second / kernel->matvec_bytes_per_second),
          std::min(kExpertGain.prompt, kernel->repacked_matmul_flops / kernel->matmul_flops)};
}

bool MachineSpeeds::gains_nothing_repacked(int type) const {
  const KernelSpeed* kernel = profile_ == nullptr || profile_->doubtful() ? nullptr : profile_->kernel(type_name(type));
  return kernel != nullptr && kernel->matmul_flops > 0 && kernel->repacked_matmul_flops > 0 &&
         kernel->repacked_matmul_flops < kLeastGain * kernel->matmul_flops;
}

DiskSpeed MachineSpeeds::disk(uint64_t block, uint32_t depth) const {
  DiskSpeed speed = disk_at_best(block, depth);
  speed.bytes_per_second *= reading_lasts();
  const double sustained = profile_ == nullptr ? 0 : profile_->storage.sustained_bytes_per_second;
  if (sustained > 0) {
    speed.bytes_per_second = std::min(speed.bytes_per_second, sustained);
  }
  return speed;
}

DiskSpeed MachineSpeeds::disk_at_best(uint64_t block, uint32_t depth) const {
  std::vector<StoragePoint> like;  // scattered reads of the size nearest below, no more at a time
  if (profile_ != nullptr) {
    like = points_like(profile_->storage.points, std::min(block, ReaderOptions{}.chunk_bytes), depth);
  }
  if (like.empty()) {
    return {kDiskBytes, kDiskLatency};
  }
  // The mean of the deepest: the visit to a point is short, and disks are noisy.
  double sum = 0;
  double count = 0;
  for (const StoragePoint& it : like) {
    if (2 * it.depth >= like.back().depth) {
      sum += it.bytes_per_second;
      ++count;
    }
  }
  const double rate = sum / count;
  // One read alone takes its latency besides what it takes among many.
  const auto bytes = static_cast<double>(like.front().block_bytes);
  const double alone = bytes / like.front().bytes_per_second;
  return {rate, like.front().depth == 1 ? std::max(0.0, alone - bytes / rate) : 0};
}

uint64_t MachineSpeeds::range_bytes() const {
  const StoragePoint knee = profile_ == nullptr ? StoragePoint{} : profile_->storage.knee;
  const uint64_t under_way = knee.block_bytes * knee.depth;
  const ReaderOptions reader;
  const auto reading = static_cast<double>(under_way > 0 ? under_way : reader.prefetch_depth * reader.chunk_bytes);
  double fastest = kThreadBytes * threads_;
  for (const KernelSpeed& it : profile_ == nullptr ? std::vector<KernelSpeed>() : profile_->kernels) {
    fastest = std::max(fastest, it.matvec_bytes_per_second * scale_);
  }
  const double computing = operation_ * fastest / kRangeOverhead;
  const double wanted =
      std::clamp(std::max(reading, computing), static_cast<double>(kSmallestRange), static_cast<double>(kLargestRange));
  return round_up(static_cast<uint64_t>(wanted), reader.chunk_bytes);
}

double MachineSpeeds::load_bytes_per_second() const {
  const double measured = profile_ == nullptr ? 0
                                              : std::max(profile_->storage.sequential_bytes_per_second,
                                                         profile_->storage.scattered_bytes_per_second);
  return measured > 0 ? measured * reading_lasts() : kDiskBytes;
}

double MachineSpeeds::reading_lasts() const {
  return profile_ == nullptr ? 1 : profile_->storage.lasting_share;
}

double MachineSpeeds::computing_lasts() const {
  return profile_ == nullptr ? 1 : profile_->lasting_share;
}

}  // namespace hypura
