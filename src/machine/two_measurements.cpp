#include "machine/two_measurements.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace hypura {

namespace {

// Pairs of rates of one thing, and what they have in common.
class Pairs {
 public:
  // `lasting`: the share that lasts of the first of each.
  explicit Pairs(double lasting) : lasting_(lasting) {}

  // Puts the better of both into `rate`; 0 is none.
  void add(double first, double& rate) {
    if (first > 0 && rate > 0) {
      shares_.push_back(std::min(first * lasting_, rate) / std::max(first, rate));
    }
    rate = std::max(first, rate);
  }

  // The worse by the better, in the median.
  double lasting() {
    if (shares_.empty()) {
      return lasting_;
    }
    const auto middle = shares_.begin() + static_cast<std::ptrdiff_t>(shares_.size() / 2);
    std::nth_element(shares_.begin(), middle, shares_.end());
    return *middle < kLastingNoise ? *middle : 1;
  }

 private:
  double lasting_;
  std::vector<double> shares_;
};

double better_time(double first, double second) {
  return first > 0 && second > 0 ? std::min(first, second) : std::max(first, second);
}

void join_kernels(const MachineProfile& first, MachineProfile& second) {
  Pairs pairs(first.lasting_share);
  for (const KernelSpeed& before : first.kernels) {
    const auto it = std::ranges::find(second.kernels, before.type, &KernelSpeed::type);
    if (it == second.kernels.end()) {
      second.kernels.push_back(before);
      continue;
    }
    pairs.add(before.matvec_bytes_per_second, it->matvec_bytes_per_second);
    pairs.add(before.matmul_flops, it->matmul_flops);
    pairs.add(before.repacked_matvec_bytes_per_second, it->repacked_matvec_bytes_per_second);
    pairs.add(before.repacked_matmul_flops, it->repacked_matmul_flops);
    pairs.add(before.resident_matvec_bytes_per_second, it->resident_matvec_bytes_per_second);
    pairs.add(before.resident_matmul_flops, it->resident_matmul_flops);
    pairs.add(before.repack_bytes_per_second, it->repack_bytes_per_second);
    pairs.add(before.expert_matmul_flops, it->expert_matmul_flops);
    pairs.add(before.repacked_expert_matmul_flops, it->repacked_expert_matmul_flops);
  }
  pairs.add(first.attention_per_second, second.attention_per_second);
  pairs.add(first.prompt_attention_per_second, second.prompt_attention_per_second);
  second.operation_seconds = better_time(first.operation_seconds, second.operation_seconds);
  second.lasting_share = pairs.lasting();
}

void join_storage(const StorageProfile& first, StorageProfile& second) {
  if (second.points.empty()) {
    second = first;
    return;
  }
  Pairs pairs(first.lasting_share);
  for (StoragePoint& point : second.points) {
    const auto it = std::ranges::find_if(first.points, [&](const StoragePoint& other) {
      return std::tuple(other.block_bytes, other.depth, other.scattered) ==
             std::tuple(point.block_bytes, point.depth, point.scattered);
    });
    if (it != first.points.end()) {
      pairs.add(it->bytes_per_second, point.bytes_per_second);
    }
  }
  if (first.scattered_bytes_per_second > second.scattered_bytes_per_second) {
    second.knee = first.knee;
  }
  second.sequential_bytes_per_second = std::max(first.sequential_bytes_per_second, second.sequential_bytes_per_second);
  second.scattered_bytes_per_second = std::max(first.scattered_bytes_per_second, second.scattered_bytes_per_second);
  second.read_seconds = better_time(first.read_seconds, second.read_seconds);
  second.lasting_share = pairs.lasting();
}

}  // namespace

MachineProfile two_measurements(const MachineProfile& first, MachineProfile second) {
  join_kernels(first, second);
  join_storage(first.storage, second.storage);
  for (size_t i = 0; i < std::min(first.ram_bytes_per_second.size(), second.ram_bytes_per_second.size()); ++i) {
    second.ram_bytes_per_second[i] = std::max(first.ram_bytes_per_second[i], second.ram_bytes_per_second[i]);
  }
  second.processor_share = std::min(first.processor_share, second.processor_share);
  second.gpus = first.gpus;
  second.storage.sustained_bytes_per_second = first.storage.sustained_bytes_per_second;
  second.first_measured_at = first.measured_at;
  return second;
}

}  // namespace hypura
